# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The rows of conditions and latents: some of them, and several for each sentence."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.errors import UserError
from pyro_textvae.infer.batches import Fields, text_fields_of
from pyro_textvae.infer.global_latents import is_global
from pyro_textvae.infer.simulate import Condition


def data_dim(site: Any) -> int:
    """Where a site's value has the plate ``"data"``, counted from the right.

    :param site: of a trace.
    :raises UserError: for a site outside of that plate.
    """
    for frame in site["cond_indep_stack"]:
        if frame.name == DATA_PLATE:
            return frame.dim - site["fn"].event_dim
    raise UserError(
        f"sample site {site['name']!r} is outside the plate {DATA_PLATE!r}: put it inside"
    )


def rows_of_condition(condition: Condition, rows: slice) -> Condition:
    """The condition of these sentences."""
    if isinstance(condition, int):
        return rows.stop - (rows.start or 0)
    return Fields({n: value[rows] for n, value in condition.items()}, text_fields_of(condition))


def rows_of_latent(value: Tensor, dim: int | None, rows: slice) -> Tensor:
    """The value for these sentences; all of it where it is one for every sentence."""
    if dim is None or value.shape[dim] == 1:
        return value
    return value.narrow(dim, rows.start, rows.stop - rows.start)


def repeated_condition(condition: Condition, copies: int) -> Condition:
    """The condition with ``copies`` rows side by side for each."""
    if copies == 1:
        return condition
    if isinstance(condition, int):
        return condition * copies
    return Fields(
        {n: value.repeat_interleave(copies, 0) for n, value in condition.items()},
        text_fields_of(condition),
    )


def repeated_latent(value: Tensor, site: Any, copies: int) -> Tensor:
    """The value of a site with ``copies`` for each sentence; as it is where it is one for all."""
    if site is None or is_global(site) or value.shape[data_dim(site)] == 1:
        return value
    return value.repeat_interleave(copies, data_dim(site))
