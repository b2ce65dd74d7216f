# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What each proposal costs and how near it comes, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro_textvae.report.blocks import Block, Section, Table
from pyro_textvae.report.per_run import for_each_run
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.run_folder.quantities import names, quantity

_LEAD = (
    "A proposal draws the latents; any leaves the estimate of p(x) unbiased, so the lowest nll is "
    "the nearest to the truth, within the errors. Nats per sentence; decoder evaluations count "
    "what adaptation costs, a gradient as three."
)


def proposals(runs: Sequence[RunRecord]) -> Section | None:
    """One row a proposal; None where no evaluation tried several."""
    tried = [run for run in runs if (run.evaluation or {}).get("proposals")]
    if not tried:
        return None

    def blocks_of(run: RunRecord) -> list[Block]:
        rows = (run.evaluation or {})["proposals"]
        columns = [
            each for each in dict.fromkeys(key for row in rows for key in row) if each in names()
        ]
        cells = tuple(tuple(_cell(row, key) for key in columns) for row in rows)
        return [Table(tuple(quantity(key).title for key in columns), cells)]

    return Section("Proposals side by side", "proposals", for_each_run(tried, blocks_of, _LEAD))


def _cell(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value is None else str(value)
