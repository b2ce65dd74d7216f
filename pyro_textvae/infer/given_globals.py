# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs with their global latents given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyro_textvae.infer.global_latents import is_global
from pyro_textvae.infer.steps import STEP_METHODS, has_steps
from pyro_textvae.nn.replaced_methods import replaced_methods


@contextmanager
def given_globals(programs: Iterable[nn.Module], draws: Mapping[str, Tensor]) -> Iterator[None]:
    """Let programs take ``draws`` for their global latents, within a block.

    Their traces do not have these sites then: given the global latents, they are programs of
    latents of sentences alone.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> from pyro import poutine
    >>> class SharedMean(nn.Module):
    ...     def forward(self, tokens):
    ...         mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    ...         with pyro.plate("data", len(tokens)):
    ...             pyro.sample("x", dist.Normal(mean, 1.0), obs=tokens)
    >>> model = SharedMean()
    >>> with given_globals([model], {"mean": torch.tensor(2.0)}):
    ...     trace = poutine.trace(model).get_trace(tokens=torch.zeros(3))
    >>> "mean" in trace.nodes, trace.nodes["x"]["fn"].mean
    (False, tensor([2., 2., 2.]))

    :param draws: the value of each, as the program has it.
    """
    distinct = {id(program): program for program in programs}.values() if draws else ()
    replacements = [
        (p, name, _given(getattr(p, name), draws))
        for p in distinct
        for name in ("forward", *(STEP_METHODS if has_steps(p) else ()))
    ]
    before = _NAMES.set(_NAMES.get() | draws.keys())
    try:
        with replaced_methods(replacements):
            yield
    finally:
        _NAMES.reset(before)


def names_given() -> frozenset[str]:
    """The sites that have been given a value by :func:`given_globals`, within its block."""
    return _NAMES.get()


_NAMES: ContextVar[frozenset[str]] = ContextVar("names_given", default=frozenset())


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
