# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An array of one axis written to an ``.npy`` file bit by bit, of which memory holds none."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_BLOCK = 2**16


class ArrayWriter:
    """Write numbers one after another; :meth:`close` completes the file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "numbers.npy"
    >>> writer = ArrayWriter(path, np.dtype("<i8"))
    >>> writer.append([3, 1])
    >>> writer.append([2])
    >>> writer.close()
    >>> np.load(path).tolist()
    [3, 1, 2]

    :param path: of the file, which is begun anew.
    :param dtype: of a number in the file.
    :param size: numbers of a file that is there already to keep, and to go on after.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], size: int = 0) -> None:
        self.path = path
        self.size = size
        """Numbers written so far."""
        self._dtype = dtype
        self._file: BinaryIO = path.open("r+b" if size else "wb+")
        self._write_header()
        self._start = self._file.tell()
        if size:
            self._file.truncate(self._start + size * dtype.itemsize)
            self._file.seek(0, 2)

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.size,),
        }
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, numbers: np.ndarray | Sequence[int] | array[int]) -> None:
        """Write some more."""
        self._file.write(np.asarray(numbers).astype(self._dtype).tobytes())
        self.size += len(numbers)

    def flush(self) -> None:
        """Hand all that was written to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Complete the file."""
        if self._file.closed:
            return
        self._file.seek(0)
        # NumPy leaves room in the header for the first axis to grow, so it can be written twice.
        self._write_header()
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, even where the disk is full."""
        close_unfinished(self._file)

    def blocks(self) -> Iterator[bytes]:
        """The bytes of the numbers of a file that was closed."""
        with self.path.open("rb") as file:
            file.seek(self._start)
            while block := file.read(_BLOCK):
                yield block

    def replace(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        """Write what ``function`` makes of the numbers, block by block, into their places."""
        numbers = np.load(self.path, mmap_mode="r+") if self.size else np.zeros(0)
        for first in range(0, self.size, _BLOCK):
            numbers[first : first + _BLOCK] = function(numbers[first : first + _BLOCK])


def close_unfinished(file: BinaryIO) -> None:
    """Close a file that is not wanted; what it still held is lost where there is no room."""
    with suppress(OSError):
        file.close()
