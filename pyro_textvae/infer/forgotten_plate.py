# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Latents of sentences that stand outside the plate ``"data"``, for it was forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from pyro import poutine
from torch import Tensor

from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.plates import named
from pyro_textvae.infer.running import same_random_state
from pyro_textvae.infer.sites import random_sites

_CHECKED: WeakKeyDictionary[Any, WeakSet[Any]] = WeakKeyDictionary()


def check_are_global(
    model: Any, guide: Any, names: Iterable[str], args: tuple, kwargs: Mapping[str, Any]
) -> None:
    """Check, once for a pair, that global latents have one shape for any number of sentences.

    A latent of each sentence whose plate was forgotten has not. It leaves no mark, as
    :func:`~pyro_textvae.infer.plates.find_plates`.

    :raises ValueError: with the site's name and its shapes.
    """
    if guide in _CHECKED.setdefault(model, WeakSet()):
        return
    shapes = []
    for rows in ([0], [0, 0]):
        some = tuple(_rows(value, rows) for value in args)
        fields = {name: _rows(value, rows) for name, value in kwargs.items()}
        with same_random_state(), torch.no_grad(), poutine.block():
            trace = trace_guide(guide, *some, **named(guide, some, fields))
        sites = dict(random_sites(trace))
        shapes.append({name: tuple(sites[name]["value"].shape) for name in names})
    one, two = shapes
    for name in one:
        if one[name] != two[name]:
            raise ValueError(
                f"latent site {name!r} is outside the plate 'data' and has shape {one[name]} for "
                f"one sentence, {two[name]} for two, so it is no global latent: put the site "
                "inside the plate"
            )
    _CHECKED[model].add(guide)


def _rows(value: Any, rows: list[int]) -> Any:
    return value[rows] if isinstance(value, Tensor) and value.dim() else value
