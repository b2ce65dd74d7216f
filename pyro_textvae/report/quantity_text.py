# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A quantity of an evaluation as text: its digits, its error, a dash where it is not known."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyro_textvae.run_folder.quantities import quantity
from pyro_textvae.run_folder.quantity import Quantity, stored


@dataclass(frozen=True)
class Style:
    """How numbers are written.

    :param dash: in the place of a number that is not known.
    :param plus_minus: before an error.
    :param thousands: what separates them in numbers with a fraction; counts always have commas.
    """

    dash: str
    plus_minus: str
    thousands: str


TERMINAL = Style("-", "+-", "")
PAGE = Style("–", "±", ",")


def is_known(value: Any) -> bool:
    """Whether there is a value, and if it is a number, a finite one."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def quantity_text(shown: Quantity, result: Mapping[str, Any], style: Style) -> str:
    """The value of a quantity in an evaluation, with its error where draws made one.

    >>> quantity_text(quantity("nll"), {"nll": 1.5, "nll_standard_error": 0.25}, TERMINAL)
    '1.500 +- 0.250'
    >>> quantity_text(quantity("heavy_tail_share"), {}, TERMINAL)
    '-'
    """
    value = shown.value(result)
    if not is_known(value):
        return style.dash
    if shown.kind in ("words", "flag"):
        return str(value)
    if shown.kind == "count":
        return f"{value:z,.0f}"
    digits = shown.digits
    if shown.kind == "share":
        return f"{100 * value:.{digits}f} %"
    # A zero has no sign, but what is signed keeps that of the number before rounding.
    text = f"{value:{'+' if shown.signed else 'z'}{style.thousands}.{digits}f}"
    error = stored(result, shown.error) if shown.error and has_latent(result) else None
    if not is_known(error):
        return text
    return f"{text} {style.plus_minus} {error:z{style.thousands}.{digits}f}"


def has_latent(result: Mapping[str, Any]) -> bool:
    """Whether there is a latent, so that the numbers are estimates; so where nothing says no."""
    return result.get("latent_dim") != 0


def filled(template: str, result: Mapping[str, Any], style: Style) -> str:
    """A text with the values of the quantities whose names stand in braces.

    >>> filled("{nll:.1} of {num_tokens}", {"nll": 1.25, "num_tokens": 1000}, TERMINAL)
    '1.2 of 1,000'
    """
    return _Formatter(result, style).format(template)


class _Formatter(string.Formatter):
    """A field is the name of a quantity, whose dots are not attributes."""

    def __init__(self, result: Mapping[str, Any], style: Style) -> None:
        self._result = result
        self._style = style

    def get_field(
        self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[_Field, str]:
        return _Field(quantity(field_name), self._result, self._style), field_name


@dataclass(frozen=True)
class _Field:
    shown: Quantity
    result: Mapping[str, Any]
    style: Style

    def __format__(self, wanted: str) -> str:
        if wanted == "d" and is_known(self.shown.value(self.result)):
            return f"{self.shown.value(self.result):d}"
        shown = self.shown
        if wanted.startswith("."):
            shown = replace(shown, digits=int(wanted[1:]))
        elif wanted == "+":
            shown = replace(shown, signed=True)
        elif wanted == "value":
            shown = replace(shown, error="")
        return quantity_text(shown, self.result, self.style)
