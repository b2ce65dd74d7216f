# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Results as text that a person reads."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from pyro_textvae.report.quantity_text import (
    TERMINAL,
    filled,
    has_latent,
    is_known,
    quantity_text,
)
from pyro_textvae.run_folder import quantities
from pyro_textvae.run_folder.quantities import with_current_names
from pyro_textvae.run_folder.quantity import Quantity

_WIDTH = 100
_MOST_OPEN = 5


def evaluation_table(result: Mapping[str, Any]) -> str:
    """The numbers of one evaluation, a line each, with units and errors; then what to beware of.

    :param result: what ``evaluation.json`` holds, of this version or of an earlier one.
    """
    result = with_current_names(result)
    lines = _lines(quantities.ordered(quantities.TERMINAL), result)
    width = max(len(name) for name, _ in lines)
    title = f"{result['run']} on {result['data']}, {result['split']} split"
    rows = [f"  {name:{width}s}  {value}" for name, value in lines]
    return "\n".join([title, *rows, *_remarks(result)])


def _lines(shown: Sequence[Quantity], result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and text of each quantity that has a line in this table."""
    lines = []
    for each in shown:
        value = each.value(result)
        if not each.line or (each.needs_latent and not has_latent(result)):
            continue
        if each.line_when == "known" and not is_known(value):
            continue
        if each.line_when == "nonzero" and not value:
            continue
        line, text = each.line, each.text
        if each.exact is not None and not has_latent(result):
            line, text = each.exact
        if each.unknown and not is_known(value):
            written = filled(each.unknown, result, TERMINAL)
        elif text:
            written = filled(text, result, TERMINAL)
        else:
            written = quantity_text(each, result, TERMINAL)
        lines.append((filled(line, result, TERMINAL), written))
    return lines


def _what_to_try(result: Mapping[str, Any]) -> str:
    """Another proposal only where there is one that this evaluation was not made with."""
    if result.get("proposal") in ("auto", "annealed"):
        return "a larger --num-samples"
    return "--proposal auto, or a larger --num-samples"


def _not_closed(check: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Which sentences of the check have bounds that are apart, and why; the first of them."""
    sentences = ((check.get("annealing") or {}).get("sandwich") or {}).get("not_closed") or []
    remarks = [
        ("not closed", f"sentence {each['index']}: {each['why']}")
        for each in sentences[:_MOST_OPEN]
    ]
    more = len(sentences) - _MOST_OPEN
    if more > 0:
        remarks.append(("not closed", f"{more} more, which evaluation.json names"))
    return remarks


def _remarks(result: Mapping[str, Any]) -> list[str]:
    check = result.get("check") or {}
    remarks = [("warning", text) for text in result.get("text_warnings") or []]
    remarks += [("warning", text) for text in result.get("warnings") or []]
    remarks += [
        ("warning", each.warning)
        for each in quantities.ordered(quantities.TERMINAL)
        if each.warning and each.value(result)
    ]
    if result.get("warnings"):
        remarks.append(("try", _what_to_try(result)))
    remarks += [("note", text) for text in result.get("notes") or []]
    remarks += [("left out", text) for text in result.get("left_out") or []]
    remarks += [("not checked", text) for text in check.get("left_out") or []]
    remarks += _not_closed(check)
    return [
        textwrap.fill(f"{kind}: {text}", _WIDTH, initial_indent="  ", subsequent_indent="    ")
        for kind, text in remarks
    ]
