# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The topics of a run, each by its likeliest words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro_textvae.report.blocks import Block, Section, Table
from pyro_textvae.report.per_run import for_each_run
from pyro_textvae.report.run_record import RunRecord

_LEAD = (
    "Topics by their ten likeliest words, the commonest first: the share of the texts that each "
    "has, and how often its words stand near each other (NPMI, 1 at the most)."
)


def topics(runs: Sequence[RunRecord]) -> Section | None:
    """A table of each run that has topics; None where no evaluation has."""
    with_topics = [run for run in runs if (run.evaluation or {}).get("topics")]
    if not with_topics:
        return None

    def blocks_of(run: RunRecord) -> list[Block]:
        return [_table((run.evaluation or {})["topics"])]

    return Section("Topics", "topics", for_each_run(with_topics, blocks_of, _LEAD))


def _table(numbers: Mapping[str, Any]) -> Block:
    listed = numbers["topics"]
    headings = ["words", "share", "NPMI"]
    known = any("truth" in topic for topic in listed)
    rows = []
    for topic in listed:
        row = [" ".join(topic["words"]), f"{100 * topic['share']:.1f} %", f"{topic['npmi']:.2f}"]
        if known:
            distance = topic.get("total_variation")
            row += [topic.get("truth", "-"), "-" if distance is None else f"{distance:.3f}"]
        rows.append(tuple(row))
    headings += ["true topic", "total variation"] if known else []
    return Table(tuple(headings), tuple(rows), f"NPMI: {numbers['coherence_reference']}.")
