# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The paired differences between runs, as the command ``compare`` prints them."""

from __future__ import annotations

from collections.abc import Sequence

from pyro_textvae.errors import UserError
from pyro_textvae.report.blocks import Block, Note, Section, Verbatim
from pyro_textvae.report.comparison_table import comparison_table
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.runs.compare import compare_runs


def comparison(runs: Sequence[RunRecord]) -> Section | None:
    """Differences of the nll sentence by sentence; None for one run alone."""
    if len(runs) < 2:
        return None
    try:
        block: Block = Verbatim(comparison_table(compare_runs([run.path for run in runs])))
    except UserError as error:
        block = Note(f"There is no comparison: {error}", "missing")
    return Section("Paired differences between runs", "comparison", (block,))
