# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Configurations over their seeds, as the command ``compare`` prints and draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_textvae.errors import UserError
from pyro_textvae.report.blocks import Block, Note, Section, Verbatim
from pyro_textvae.report.grid_table import grid_table
from pyro_textvae.report.information_figure import information_figure


def over_seeds(result: Mapping[str, Any]) -> Section:
    """The table of a comparison over seeds and its figure.

    :param result: what :func:`~pyro_textvae.grid.comparison.compare_grid` returns.
    """
    try:
        figure: Block = information_figure(result)
    except UserError as error:
        figure = Note(f"There is no figure: {error}", "missing")
    return Section(
        "Configurations over their seeds", "seeds", (figure, Verbatim(grid_table(dict(result))))
    )
