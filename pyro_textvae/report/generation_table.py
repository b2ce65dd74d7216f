# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An assessment of generated text as text that a person reads."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from pyro_textvae.report.columns import padded
from pyro_textvae.report.generation_rows import HEADINGS, materials_of, notes_of, rows_by_title

_WIDTH = 100


def generation_table(assessment: Mapping[str, Any]) -> str:
    """A line for each number with its interval and what real text has, then how it was made.

    :param assessment: what ``generation.json`` holds.
    """
    title = (
        f"text of {assessment['run']} beside the {assessment['split']} split of "
        f"{assessment['data']}"
    )
    by_title = rows_by_title(assessment)
    cells = padded([("", *HEADINGS), *(row for rows in by_title.values() for row in rows)], "<>>><")
    lines = [title, f"    {'  '.join(cells[0])}".rstrip()]
    place = 1
    for heading, rows in by_title.items():
        lines.append(f"  {heading}")
        lines += [f"    {'  '.join(row)}".rstrip() for row in cells[place : place + len(rows)]]
        place += len(rows)
    for example in assessment["examples"]:
        lines += _example(example)
    remarks = [
        *(("made", text) for text in materials_of(assessment)),
        *(("note", text) for text in notes_of(assessment)),
        *(("note", text) for text in assessment["remarks"]),
        *(("left out", text) for text in assessment["left_out"]),
    ]
    lines += [
        textwrap.fill(f"{kind}: {text}", _WIDTH, initial_indent="  ", subsequent_indent="    ")
        for kind, text in remarks
    ]
    return "\n".join(lines)


def _example(example: Mapping[str, Any]) -> list[str]:
    return [f"  {name.replace('_', ' ')}: {text}" for name, text in example.items()]
