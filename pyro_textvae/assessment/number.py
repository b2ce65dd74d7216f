# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One number about generated text, with all that is needed to read it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pyro_textvae.config.checks import plain

SHARE = (0.0, 1.0)
"""The bounds of a share."""


@dataclass(frozen=True)
class Number:
    """What a metric returns; ``generation.json`` holds its fields as they are.

    :param name: its key in ``generation.json``.
    :param label: its name in tables.
    :param value: in its unit.
    :param interval: 95 %, see :class:`~pyro_textvae.assessment.bootstrap.Bootstrap`; None where the
        value has no error.
    :param num_sentences: that it is computed from.
    :param material: which texts it is of: a key of ``materials`` in ``generation.json``, where
        decoding method, options and seed are.
    :param unit: empty for a pure number.
    :param digits: after the point.
    :param better: higher, lower, real: near to what real text has, or middle: near 0.5.
    :param real: the same number of real text, where that says something.
    :param note: what makes the number what it is, such as the signature of ``sacrebleu``.
    :param column: its heading where runs are compared; empty for no column.
    :param bounds: the least and the largest value that there can be: an interval ends there.

    >>> Number("distinct_2", "distinct-2", 0.5, (0.4, 0.6), 100, "samples").better
    'higher'
    """

    name: str
    label: str
    value: float
    interval: tuple[float, float] | None
    num_sentences: int
    material: str
    unit: str = ""
    digits: int = 3
    better: Literal["higher", "lower", "real", "middle"] = "higher"
    real: float | None = None
    note: str = ""
    column: str = ""
    bounds: tuple[float, float] = (0.0, math.inf)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the interval within the bounds; the name is left out, as it is the key."""
        values = asdict(self)
        del values["name"]
        least, most = values.pop("bounds")
        if self.interval is not None:
            values["interval"] = [min(max(end, least), most) for end in self.interval]
        return {key: plain(f"{self.name}.{key}", value) for key, value in values.items()}
