# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The numbers of an assessment as text, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADINGS = ("value", "95 % interval", "real text", "better")

_BETTER = {"real": "as real text", "middle": "near 0.5"}


def rows_by_title(assessment: Mapping[str, Any]) -> dict[str, list[tuple[str, ...]]]:
    """A row for each number under the heading that it stands with: label, and :data:`HEADINGS`."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for number in assessment["numbers"].values():
        label = f"{number['label']}, {number['unit']}" if number["unit"] else number["label"]
        row = (
            label,
            value_of(number, number["value"]),
            interval_of(number),
            value_of(number, number["real"]),
            _BETTER.get(number["better"], number["better"]),
        )
        rows.setdefault(number["title"], []).append(row)
    return rows


def value_of(number: Mapping[str, Any], value: float | None) -> str:
    """A value with the number's digits; a dash for None."""
    return "-" if value is None else f"{value:,.{number['digits']}f}"


def interval_of(number: Mapping[str, Any]) -> str:
    """The interval in brackets; a dash for none."""
    interval = number["interval"]
    if interval is None:
        return "-"
    low, high = (value_of(number, end) for end in interval)
    return f"[{low}, {high}]"


def materials_of(assessment: Mapping[str, Any]) -> list[str]:
    """A line for each text that was looked at: how it was made."""
    lines = []
    for name, made in assessment["materials"].items():
        facts = {k: v for k, v in made.items() if k not in ("tokenizer", "settings") and v != {}}
        said = ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in facts.items())
        lines.append(f"{name.replace('_', ' ')}: {said}")
    return lines


def notes_of(assessment: Mapping[str, Any]) -> list[str]:
    """What stands beside numbers, each text once with the labels that it is of."""
    labels: dict[str, list[str]] = {}
    for number in assessment["numbers"].values():
        if number["note"]:
            labels.setdefault(number["note"], []).append(number["label"])
    return [f"{'; '.join(each)}: {note}" for note, each in labels.items()]


def _plain(value: Any) -> str:
    return f"{value:,}" if type(value) is int and value >= 1000 else str(value)
