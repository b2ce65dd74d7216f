# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every number of an evaluation, once, and the orders in which tables show them.

The terminal table, the report page, the comparisons of runs and of grids, and the readers of
``evaluation.json`` go through :data:`QUANTITIES`. A new number is one entry in the file of its
group in ``quantity_groups``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pyro_textvae.run_folder.quantity import Group, Quantity
from pyro_textvae.run_folder.quantity_groups import (
    annealing,
    bound,
    bounds,
    draws,
    gaps,
    information,
    labels,
    likelihood,
    mining,
    sandwich,
    text,
    tokens,
    topics,
    training,
    trust,
)

TERMINAL: tuple[Group, ...] = (
    *("text", "likelihood", "draws", "trust", "bound", "tokens", "information", "labels"),
    *("topics", "mining", "annealing", "bounds", "sandwich", "gaps"),
)
"""Order of the groups in the table that ``evaluate`` prints."""
PAGE: tuple[Group, ...] = (
    *("text", "draws", "likelihood", "bound", "tokens", "information", "labels", "topics"),
    *("mining", "trust"),
)
"""Order of the groups on the report page."""
COLUMNS: tuple[Group, ...] = (
    *("text", "likelihood", "bound", "tokens", "information", "draws", "training", "trust"),
)
"""Order of the groups in the columns of a comparison, of runs or of a grid."""

QUANTITIES: tuple[Quantity, ...] = (
    *text.QUANTITIES,
    *draws.QUANTITIES,
    *likelihood.QUANTITIES,
    *trust.QUANTITIES,
    *bound.QUANTITIES,
    *tokens.QUANTITIES,
    *information.QUANTITIES,
    *labels.QUANTITIES,
    *topics.QUANTITIES,
    *mining.QUANTITIES,
    *annealing.QUANTITIES,
    *bounds.QUANTITIES,
    *sandwich.QUANTITIES,
    *gaps.QUANTITIES,
    *training.QUANTITIES,
)


def names() -> list[str]:
    """Names of all quantities."""
    return [each.name for each in QUANTITIES]


def quantity(name: str) -> Quantity:
    """The quantity of this name.

    :raises KeyError: for a name that none has.
    """
    for each in QUANTITIES:
        if each.name == name:
            return each
    raise KeyError(name)


def ordered(groups: Iterable[Group]) -> list[Quantity]:
    """The quantities of these groups, group by group."""
    return [each for group in groups for each in QUANTITIES if each.group == group]


def compared() -> list[Quantity]:
    """Columns of the comparison of runs, in their order."""
    return [each for each in ordered(COLUMNS) if each.compared]


def averaged() -> list[Quantity]:
    """Columns of the comparison of a grid, in their order."""
    return [each for each in ordered(COLUMNS) if each.averaged is not None]


def with_current_names(result: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation with the keys of today, whatever version wrote it.

    >>> with_current_names({"nll": 1.5, "khat_above_0_7": 0.25})
    {'nll': 1.5, 'heavy_tail_share': 0.25}
    """
    current = {alias: each.name for each in QUANTITIES for alias in each.aliases}
    renamed = {current.get(key, key): value for key, value in result.items()}
    if isinstance(renamed.get("proposals"), list):
        renamed["proposals"] = [
            with_current_names(row) if isinstance(row, Mapping) else row
            for row in renamed["proposals"]
        ]
    return renamed
