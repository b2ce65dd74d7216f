# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One number of an evaluation: its key, its names, its unit, and where it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

NATS = "nats per sentence"

Group = Literal[
    "text",
    "draws",
    "likelihood",
    "bound",
    "tokens",
    "information",
    "labels",
    "topics",
    "mining",
    "training",
    "trust",
    "annealing",
    "bounds",
    "sandwich",
    "gaps",
]


@dataclass(frozen=True)
class Quantity:
    """One number of an evaluation.

    :param name: its key in ``evaluation.json``; dots lead into a part of it.
    :param group: what it stands with; each table has an order of groups.
    :param label: its name in the summary of the report page; empty: not there.
    :param heading: its name over a column, where a short one is needed.
    :param line: its name in the terminal table, two spaces deeper for a part of the line above;
        empty: no line of its own. Holds fields in braces, as ``text`` does.
    :param text: what stands in that line: fields in braces are the names of quantities, ``:.2``
        asks for other digits, ``:d`` for no separator of thousands, ``:+`` for a sign and
        ``:value`` for no error. Default: the value.
    :param unknown: what stands there instead where the value is not known, with fields in braces.
    :param exact: line and text where nothing is drawn, so that the value is no estimate.
    :param line_when: whether the line is always there, or only for a value that is known, or that
        is not zero.
    :param unit: empty for a pure number.
    :param kind: what is in the file; a share is shown in per cent.
    :param digits: after the point.
    :param signed: whether a plus stands before what is not negative.
    :param error: name of its standard error.
    :param count: name of the number of sentences that it is a mean over, where those are a sample.
    :param warning: of a flag: what the terminal table warns of where it is set.
    :param page_warning: of a flag: what the report page does, with fields in braces.
    :param needs_latent: whether it means nothing without a latent.
    :param compared: whether it is a column of the comparison of runs, and so must be in the file.
    :param added_later: whether files of earlier versions may lack it all the same.
    :param averaged: heading and digits of its column in the comparison of a grid, the mean over the
        seeds of a cell; None: no such column.
    :param aliases: keys of the same number in files of earlier versions.
    :param of: how it is worked out from the others, where the file does not hold it.

    >>> from pyro_textvae.run_folder.quantities import quantity
    >>> kl = quantity("kl")
    >>> kl.label, kl.unit, kl.digits, kl.needs_latent
    ('KL', 'nats per sentence', 3, True)
    """

    name: str
    group: Group
    label: str = ""
    heading: str = ""
    line: str = ""
    text: str = ""
    unknown: str = ""
    exact: tuple[str, str] | None = None
    line_when: Literal["always", "known", "nonzero"] = "always"
    unit: str = ""
    kind: Literal["number", "share", "count", "flag", "words"] = "number"
    digits: int = 3
    signed: bool = False
    error: str = ""
    count: str = ""
    warning: str = ""
    page_warning: str = ""
    needs_latent: bool = True
    compared: bool = False
    added_later: bool = False
    averaged: tuple[str, int] | None = None
    aliases: tuple[str, ...] = ()
    of: Callable[[Mapping[str, Any]], Any] | None = None

    def value(self, result: Mapping[str, Any]) -> Any:
        """The value in an evaluation; None where there is none."""
        return stored(result, self.name) if self.of is None else self.of(result)

    @property
    def title(self) -> str:
        """Over a column of the report page."""
        return self.heading or self.label or self.name

    @property
    def types(self) -> tuple[type, ...]:
        """What JSON may hold under its key."""
        if self.kind in ("flag", "words"):
            return (bool,) if self.kind == "flag" else (str,)
        return (int, float, type(None))


def stored(result: Mapping[str, Any], name: str) -> Any:
    """What an evaluation holds under a name; None where there is nothing.

    >>> stored({"check": {"gaps": {"num_sentences": 50}}}, "check.gaps.num_sentences")
    50
    """
    value: Any = result
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
