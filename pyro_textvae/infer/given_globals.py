# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs with their global latents given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyro_textvae.infer.global_latents import is_global
from pyro_textvae.nn.replaced_methods import replaced_methods


@contextmanager
def given_globals(programs: Iterable[nn.Module], draws: Mapping[str, Tensor]) -> Iterator[None]:
    """Let programs take ``draws`` for their global latents, within a block.

    Their traces do not have these sites then: given the global latents, they are programs of
    latents of sentences alone.

    :param draws: the value of each, as the program has it.
    """
    distinct = {id(program): program for program in programs}.values() if draws else ()
    replacements = [(p, "forward", _given(p.forward, draws)) for p in distinct]
    with replaced_methods(replacements):
        yield


def _given(forward: Any, draws: Mapping[str, Tensor]) -> Any:
    @wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _Given(draws):
            return forward(*args, **kwargs)

    return run


class _Given(Messenger):
    def __init__(self, draws: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.draws = draws

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.draws and is_global(msg):
            msg["value"], msg["done"], msg["stop"] = self.draws[msg["name"]], True, True
