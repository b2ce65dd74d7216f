# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A progress bar of a source that is read, by its bytes where it knows them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pyro_textvae.data.records import Record
from pyro_textvae.progress_bar import progress_bar

if TYPE_CHECKING:
    from tqdm import tqdm

_RECORDS_BETWEEN = 1000
_SECONDS_BEFORE = 3
"""What is read sooner shows no bar."""


class ReadingProgress:
    """The bar of one pass over a source; a context.

    :param source: with ``num_bytes`` in all and ``bytes_read``, where it has them.
    :param what: is done with it.
    """

    def __init__(self, source: Any, what: str) -> None:
        self._source, self._what = source, what
        self._total: int | None = getattr(source, "num_bytes", None)
        self._started = time.monotonic()
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> ReadingProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def over(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records, while the bar follows them."""
        for number, record in enumerate(records, start=1):
            yield record
            if number % _RECORDS_BETWEEN == 0:
                self._show(number)

    def _show(self, number: int) -> None:
        if self._bar is None:
            if time.monotonic() - self._started < _SECONDS_BEFORE:
                return
            self._bar = progress_bar(
                total=self._total,
                desc=f"{self._source.name}: {self._what}",
                unit=" sentences" if self._total is None else "B",
                unit_scale=True,
            )
        at = number
        if self._total is not None:
            at = min(self._source.bytes_read, self._total)
        self._bar.update(at - self._bar.n)
