# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How good the text of each run is, as ``assess`` measured it."""

from __future__ import annotations

from collections.abc import Sequence

from pyro_textvae.report.blocks import Block, Note, Section, Table
from pyro_textvae.report.generation_rows import HEADINGS, materials_of, notes_of, rows_by_title
from pyro_textvae.report.per_run import for_each_run
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.run_folder.assessed_run import AssessmentError, read_assessment

_LEAD = (
    "Each value with a 95 % interval from resamples of the sentences, and beside it what real text "
    "has. Most depend on the number of sentences, so runs are comparable at one number alone."
)


def generation(runs: Sequence[RunRecord]) -> Section:
    """A table under each heading, and samples beside the training sentences that they copy from."""

    def blocks_of(run: RunRecord) -> list[Block]:
        try:
            assessment = read_assessment(run.path)
        except AssessmentError as error:
            reason = f"{error.reason[:1].upper()}{error.reason[1:]}."
            return [Note(reason, "missing", error.command)]
        blocks: list[Block] = [
            Table((title, *HEADINGS), tuple(rows))
            for title, rows in rows_by_title(assessment).items()
        ]
        examples = assessment["examples"]
        if examples:
            headings = tuple(examples[0])
            rows = tuple(tuple(str(each.get(key, "")) for key in headings) for each in examples)
            named = tuple(heading.replace("_", " ") for heading in headings)
            blocks.append(
                Table(named, rows, "Samples with the longest runs of copied words.", prose=True)
            )
        lines = [*materials_of(assessment), *notes_of(assessment)]
        lines += [str(text) for text in (*assessment["remarks"], *assessment["left_out"])]
        return [*blocks, *(Note(line) for line in lines)]

    return Section("How good the text is", "generation", for_each_run(runs, blocks_of, _LEAD))
