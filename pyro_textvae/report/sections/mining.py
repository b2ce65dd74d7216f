# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How well the latents keep together what has one label, beside a bag of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro_textvae.report.blocks import Block, Section, Table
from pyro_textvae.report.per_run import for_each_run
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.run_folder.quantity_groups.mining import NUMBERS, REPRESENTATIONS

_LEAD = (
    "The map is the first two principal components; neighbours and clusters are of the space "
    "itself. In brackets the 95 % interval over other sentences of the same kind."
)


def mining(runs: Sequence[RunRecord]) -> Section | None:
    """A table of each run; None where no evaluation has these numbers."""
    with_numbers = [run for run in runs if (run.evaluation or {}).get("mining")]
    if not with_numbers:
        return None

    def blocks_of(run: RunRecord) -> list[Block]:
        return [_table((run.evaluation or {})["mining"])]

    return Section("Labels on the map", "mining", for_each_run(with_numbers, blocks_of, _LEAD))


def _table(numbers: Mapping[str, Any]) -> Block:
    shown = [name for name in REPRESENTATIONS if name in numbers]
    rows = tuple(
        (
            title,
            *(
                f"{numbers[of][name]:.3f} "
                f"[{numbers[of][f'{name}_low']:.3f}, {numbers[of][f'{name}_high']:.3f}]"
                for of in shown
            ),
        )
        for name, title in NUMBERS.items()
    )
    caption = (
        f"{numbers['num_sentences']:,} sentences with {numbers['num_labels']:,} labels; by chance "
        f"{numbers['chance']:.3f} of the others have the label of a sentence."
    )
    return Table(("", *(REPRESENTATIONS[name] for name in shown)), rows, caption)
