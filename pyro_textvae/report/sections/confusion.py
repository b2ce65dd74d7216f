# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which labels are taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro_textvae.report.blocks import Block, Section, Table
from pyro_textvae.report.per_run import for_each_run
from pyro_textvae.report.run_record import RunRecord

_LEAD = (
    "Sentences by the label that is given, in rows, and the likeliest one, in columns; in brackets "
    "the 95 % interval over other sentences of the same kind."
)
_READERS = {"bayes": "by the model, p(y | x)", "guide": "by the guide, q(y | x)"}
_MOST_LABELS = 20


def confusion(runs: Sequence[RunRecord]) -> Section | None:
    """A table of each reader; None where no evaluation has labels."""
    with_labels = [run for run in runs if (run.evaluation or {}).get("classification")]
    if not with_labels:
        return None

    def blocks_of(run: RunRecord) -> list[Block]:
        found = (run.evaluation or {})["classification"]
        return [_table(found, reader) for reader in _READERS if reader in found]

    return Section("Labels", "labels", for_each_run(with_labels, blocks_of, _LEAD))


def _table(found: Mapping[str, Any], reader: str) -> Block:
    names, of_reader = found["labels"], found[reader]
    columns = range(min(len(names), _MOST_LABELS))
    rows = tuple(
        (
            names[row],
            *(
                f"{of_reader['confusion'][row][column]:,} "
                f"[{of_reader['confusion_low'][row][column]:,.0f}, "
                f"{of_reader['confusion_high'][row][column]:,.0f}]"
                for column in columns
            ),
        )
        for row in columns
    )
    left_out = len(names) - len(columns)
    caption = f"{left_out} more labels are in evaluation.json." if left_out else ""
    return Table((_READERS[reader], *(names[column] for column in columns)), rows, caption)
