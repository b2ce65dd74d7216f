# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae report``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyro_textvae.cli.parsing import parse
from pyro_textvae.errors import UserError


@dataclass
class ReportOptions:
    """One HTML page on one run or several, with its pictures as PNGs beside it.

    Args:
        runs: folders made by train; need no flag.
        out: folder to write into; by default report, in the run where there is one alone.
        over_seeds: runs that differ by their seed alone are one row of the comparison, with a
            figure of the nll against the information in the latents.
        reference: with over_seeds, the row that all others are compared with; by default the best.
        seed: of the samples, of the sentences shown, and of t-SNE.
        device: auto, cpu, cuda, or cuda:N.
        trust_code: execute code of your own that a run of somebody else names; see SECURITY.md.

    """

    runs: list[str] = field(default_factory=list)
    out: str | None = None
    over_seeds: bool = False
    reference: str | None = None
    seed: int = 0
    device: str = "auto"
    trust_code: bool = False

    def __post_init__(self) -> None:
        if self.reference is not None and not self.over_seeds:
            raise UserError("--reference is for rows over seeds: give --over-seeds with it")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must lie in [0, 2**32), got {self.seed}")


def main(arguments: Sequence[str]) -> None:
    """Write the report and say where it is."""
    options, _ = parse(ReportOptions, "report", arguments)
    from pyro_textvae.report.run_report import write_report

    page = write_report(
        options.runs,
        options.out,
        seed=options.seed,
        device=options.device,
        trust_code=options.trust_code,
        comparison_over_seeds=_over_seeds(options),
    )
    print(f"written to {page}, with its pictures beside it")


def _over_seeds(options: ReportOptions) -> dict[str, Any] | None:
    """The comparison that --over-seeds asks for."""
    if not options.over_seeds:
        return None
    from pyro_textvae.grid.finished_runs import compare_over_seeds
    from pyro_textvae.report.run_report import check_drawable

    # Before the comparison, which takes its time.
    check_drawable()
    return compare_over_seeds(options.runs, reference=options.reference)
