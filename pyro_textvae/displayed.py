# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Objects that show themselves in a few lines, and give their numbers as plain values."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from typing import Any

from pyro_textvae.errors import UserError

MOST_LINES = 12
"""Lines of a ``repr`` at most."""

_WIDEST = 88


class Displayed:
    """Shows itself in at most a dozen lines, in a notebook as a table; a base of results.

    >>> from dataclasses import dataclass
    >>> import torch
    >>> @dataclass(frozen=True, repr=False)
    ... class Scores(Displayed):
    ...     log_px: torch.Tensor
    ...     seed: int
    >>> scores = Scores(torch.tensor([-1.0, -3.0]), 0)
    >>> scores
    Scores
      log_px  (2,), mean -2, from -3 to -1
      seed    0
    >>> scores.to_dict()
    {'log_px': [-1.0, -3.0], 'seed': 0}

    Children that are data classes are declared with ``repr=False``. By default their fields are
    shown, and their one-dimensional fields of one length are the columns of :meth:`to_pandas`.
    """

    def _shown(self) -> dict[str, Any]:
        """What ``repr`` and the table of a notebook show, by name, most important first."""
        return self._fields()

    def _columns(self) -> dict[str, Any]:
        """What has one value a row, by name; all of one length."""
        lengths = {n: len(v) for n, v in self._fields().items() if _is_column(v)}
        most = max(lengths.values(), key=list(lengths.values()).count, default=0)
        return {name: self._fields()[name] for name, size in lengths.items() if size == most}

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values: numbers, strings, lists and dictionaries."""
        return {name: as_plain(value) for name, value in self._fields().items()}

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``: a row for each entry, such as a sentence.

        :raises UserError: where pandas is not installed, or there is nothing with rows.
        """
        columns = {name: as_plain(value) for name, value in self._columns().items()}
        if not columns:
            raise UserError(f"{type(self).__name__} has nothing with rows: take to_dict()")
        return data_frame(columns)

    def _fields(self) -> dict[str, Any]:
        if isinstance(self, Mapping):
            return dict(self)
        if is_dataclass(self):
            return {each.name: getattr(self, each.name) for each in fields(self)}
        return {}

    def __repr__(self) -> str:
        return lines_of(type(self).__name__, self._shown())

    def _repr_html_(self) -> str:
        return table_of(type(self).__name__, self._shown())


class Numbers(Displayed, dict[str, Any]):
    """Numbers by name, as a dictionary that shows the first of them."""

    def _columns(self) -> dict[str, Any]:
        """Name and value of each number."""
        numbers = {n: v for n, v in self.items() if isinstance(v, int | float)}
        return {"name": list(numbers), "value": list(numbers.values())}


def data_frame(columns: Mapping[str, Any]) -> Any:
    """A ``pandas.DataFrame``; pandas is imported when it is asked for.

    :raises UserError: where it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise UserError("to_pandas needs pandas: pip install pandas") from error
    return pandas.DataFrame(dict(columns))


def lines_of(title: str, shown: Mapping[str, Any]) -> str:
    """A title, and a line for each value, at most a dozen in all."""
    texts = {name: in_words(value) for name, value in shown.items()}
    width = max(map(len, texts), default=0)
    lines = [f"  {name:{width}}  {text}" for name, text in texts.items()]
    if len(lines) + 1 > MOST_LINES:
        left_out = len(lines) - (MOST_LINES - 2)
        lines = [*lines[: MOST_LINES - 2], f"  ... {left_out} more in to_dict()"]
    return "\n".join([title, *lines])


def table_of(title: str, shown: Mapping[str, Any]) -> str:
    """The same as an HTML table, whatever the names and values hold."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(str(name))}</th>"
        f"<td style='text-align:left'>{html.escape(in_words(value))}</td></tr>"
        for name, value in shown.items()
    )
    caption = f"<caption style='text-align:left'>{html.escape(title)}</caption>"
    return f"<table>{caption}<tbody>{rows}</tbody></table>"


def in_words(value: Any) -> str:
    """A value in one short line."""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, bool) or not isinstance(value, int):
        return _cut(_of_many(value))
    return f"{value:,}"


def as_plain(value: Any) -> Any:
    """A value as JSON could hold it; what it cannot, as text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Displayed):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): as_plain(each) for name, each in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | Set):
        return [as_plain(each) for each in value]
    return value if isinstance(value, str | int | float | None) else str(value)


def _of_many(value: Any) -> str:
    """What holds many values, in words."""
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        return _of_array(value)
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(each)}" for name, each in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 4:
        return f"{len(value):,} entries"
    if isinstance(value, list | tuple):
        return ", ".join(map(_short, value)) or "none"
    if isinstance(value, Displayed) or (is_dataclass(value) and not isinstance(value, type)):
        return type(value).__name__
    return str(value)


def _short(value: Any) -> str:
    return in_words(value) if isinstance(value, int | float | str | None) else type(value).__name__


def _of_array(value: Any) -> str:
    shape = f"({', '.join(map(str, value.shape))}{',' if len(value.shape) == 1 else ''})"
    flat = [float(each) for each in _leaves(value.tolist())]
    finite = [each for each in flat if math.isfinite(each)]
    if not flat:
        return f"{shape}, empty"
    if not finite:
        return f"{shape}, none finite"
    beside = "" if len(finite) == len(flat) else f", {len(flat) - len(finite):,} not finite"
    mean = math.fsum(finite) / len(finite)
    low, high = in_words(min(finite)), in_words(max(finite))
    if not value.shape:
        return in_words(flat[0])
    return f"{shape}, mean {in_words(mean)}, from {low} to {high}{beside}"


def _leaves(nested: Any) -> Iterator[Any]:
    if isinstance(nested, list):
        for each in nested:
            yield from _leaves(each)
    else:
        yield nested


def _is_column(value: Any) -> bool:
    if hasattr(value, "shape"):
        return len(value.shape) == 1
    return isinstance(value, list | tuple) and len(value) > 1


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 4]} ..."
