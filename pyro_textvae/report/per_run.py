# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Blocks that each run has of its own, one run after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pyro_textvae.report.blocks import Block, Note, RunTitle
from pyro_textvae.report.run_record import RunRecord


def for_each_run(
    runs: Sequence[RunRecord], blocks_of: Callable[[RunRecord], Sequence[Block]], lead: str = ""
) -> tuple[Block, ...]:
    """The blocks of all runs; under the name of its run where there are several.

    :param lead: what explains them; left out where no run has more than notes.
    """
    blocks: list[Block] = []
    for run in runs:
        if len(runs) > 1:
            blocks.append(RunTitle(title_of(run, runs)))
        blocks += blocks_of(run)
    shows = any(not isinstance(block, Note | RunTitle) for block in blocks)
    return (Note(lead), *blocks) if lead and shows else tuple(blocks)


def title_of(run: RunRecord, runs: Sequence[RunRecord]) -> str:
    """The name of a run, with the number it has in pictures where there are several."""
    return f"{run.number}: {run.name}" if len(runs) > 1 else run.name


def picture_name(topic: str, run: RunRecord, runs: Sequence[RunRecord]) -> str:
    """Name of a file, without its ending; it tells the run where there are several."""
    if len(runs) == 1:
        return topic
    return f"{topic}-{run.number}-{re.sub(r'[^A-Za-z0-9._-]+', '-', run.name)}"
