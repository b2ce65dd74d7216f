# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The packed store of an encoded corpus: ids end to end, where each row starts, other columns."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyro_textvae.contract import NOT_GIVEN, SOURCE
from pyro_textvae.data.records import content_digest

# Part of every cache key: raise it when the files, or the text that a source yields, change.
FORMAT_VERSION = 5
META = "meta.json"
TOKENIZER = "tokenizer.json"


def id_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id of a vocabulary."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


class RowWriter:
    """Write rows of ids end to end, streaming; :meth:`close` completes the two files.

    :param folder: where ``STEM.ids.npy`` and ``STEM.offsets.npy`` go.
    :param stem: what they are called.
    :param dtype: of an id in the file.
    """

    def __init__(self, folder: Path, stem: str, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._ids = (folder / f"{stem}.ids.npy").open("wb+")
        self._offsets_path = folder / f"{stem}.offsets.npy"
        self._offsets = array("q", [0])
        self._digest = hashlib.sha256()
        self._write_header()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.num_ids,),
        }
        np.lib.format.write_array_header_1_0(self._ids, header)

    @property
    def num_rows(self) -> int:
        """Rows written so far."""
        return len(self._offsets) - 1

    @property
    def num_ids(self) -> int:
        """Ids of all rows together."""
        return self._offsets[-1]

    def append(self, ids: np.ndarray) -> None:
        """Write one row."""
        data = ids.astype(self._dtype).tobytes()
        self._ids.write(data)
        self._digest.update(data)
        self._offsets.append(self._offsets[-1] + len(ids))

    def close(self) -> str:
        """Complete the files and return the hash of ids and row boundaries."""
        self._ids.seek(0)
        # NumPy leaves room in the header for the first axis to grow, so it can be written twice.
        self._write_header()
        self._ids.close()
        offsets = np.frombuffer(self._offsets, dtype=np.int64).astype("<i8")
        np.save(self._offsets_path, offsets)
        self._digest.update(offsets.tobytes())
        return self._digest.hexdigest()


class SplitWriter:
    """Write all fields of one split, streaming; :meth:`close` completes the files.

    :param folder: where the files go.
    :param split: what they are called.
    :param dtype: of an id in the files.
    """

    def __init__(self, folder: Path, split: str, dtype: np.dtype[Any]) -> None:
        self._folder, self._split, self._dtype = folder, split, dtype
        self.tokens = RowWriter(folder, split, dtype)
        self.source: RowWriter | None = None
        self.documents: array[int] | None = None
        """How many rows there are before each document, and in the end."""
        self._labels = array("q")
        self._columns = (folder / f"{split}.columns.jsonl").open("w", encoding="utf-8")
        self.column_names: dict[str, None] = {}

    def append(
        self,
        tokens: Sequence[np.ndarray],
        source: np.ndarray | None,
        label: int,
        columns: dict[str, str],
    ) -> None:
        """Write one datum: its ids, those of its source, its label and further columns.

        :param tokens: one row; of a document, one for each of its sentences.
        """
        for row in tokens:
            self.tokens.append(row)
        if self.documents is not None:
            self.documents.append(self.tokens.num_rows)
        if source is not None:
            self.start_source().append(source)
        self._labels.append(label)
        self._columns.write(json.dumps(columns) + "\n")
        self.column_names.update(dict.fromkeys(columns))

    def start_source(self) -> RowWriter:
        """The rows of the sources, which are there from now on, if only as none."""
        if self.source is None:
            self.source = RowWriter(self._folder, f"{self._split}.{SOURCE}", self._dtype)
        return self.source

    def start_documents(self) -> None:
        """From now on a datum is a document."""
        if self.documents is None:
            self.documents = array("q", [0])

    @property
    def num_labelled(self) -> int:
        """Sentences whose label is given."""
        return sum(label != NOT_GIVEN for label in self._labels)

    def close(self, label_order: Sequence[int] | None) -> str:
        """Complete the files and return the hash of all fields.

        That of a split with tokens alone is the one that it had before there were other fields.

        :param label_order: the final index of each label in the order of first appearance; None
            where the corpus has no labels.
        """
        self._columns.close()
        parts = [self.tokens.close()]
        if self.documents is not None:
            offsets = np.frombuffer(self.documents, dtype=np.int64).astype("<i8")
            np.save(self._folder / f"{self._split}.documents.npy", offsets)
            parts += ["documents", hashlib.sha256(offsets.tobytes()).hexdigest()]
        if self.source is not None:
            parts += ["source", self.source.close()]
        if label_order is not None:
            indices = np.array([*label_order, NOT_GIVEN], dtype="<i8")
            # The last entry is that of a label that is not given, whose index is -1.
            labels = indices[np.frombuffer(self._labels, dtype=np.int64)]
            np.save(self._folder / f"{self._split}.labels.npy", labels)
            parts += ["labels", hashlib.sha256(labels.tobytes()).hexdigest()]
        return parts[0] if len(parts) == 1 else content_digest(*parts)

    def abandon(self) -> None:
        """Close the files as they are."""
        for writer in (self.tokens, self.source):
            if writer is not None:
                writer.close()
        self._columns.close()


class Rows:
    """Rows of ids, memory-mapped as :class:`RowWriter` wrote them.

    :param folder: where the two files are.
    :param stem: what they are called.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._ids = np.load(folder / f"{stem}.ids.npy", mmap_mode="r")
        self._offsets = np.load(folder / f"{stem}.offsets.npy", mmap_mode="r")
        self.lengths: np.ndarray = np.diff(self._offsets)
        """Ids of every row."""

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @property
    def num_ids(self) -> int:
        """Ids of all rows together."""
        return int(self._offsets[-1])

    def row(self, position: int) -> np.ndarray:
        """The ids of one row, int64."""
        start, stop = self._offsets[position], self._offsets[position + 1]
        return self._ids[start:stop].astype(np.int64)

    def between(self, first: int, last: int) -> np.ndarray:
        """The ids of the rows from the first to the one before the last, end to end, int64."""
        return self._ids[self._offsets[first] : self._offsets[last]].astype(np.int64)

    def padded(self, positions: np.ndarray) -> np.ndarray:
        """The rows at these positions, int64, padded on the right with 0 to the longest."""
        rows = np.zeros((len(positions), int(self.lengths[positions].max())), dtype=np.int64)
        for row, position in zip(rows, positions, strict=True):
            start, stop = self._offsets[position], self._offsets[position + 1]
            row[: stop - start] = self._ids[start:stop]
        return rows


class Columns(Mapping[str, list[str]]):
    """The columns of a split beside its fields; a column is read from disk when it is asked for.

    :param path: a file with one JSON object a sentence.
    :param names: the columns that there are.
    """

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self._path = path
        self._names = tuple(names)

    def __getitem__(self, name: str) -> list[str]:
        if name not in self._names:
            raise KeyError(name)
        with self._path.open(encoding="utf-8") as file:
            return [json.loads(line).get(name, "") for line in file]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def seal(folder: Path, meta: dict[str, Any]) -> None:
    """Write the entry's description with the hash of every file in it."""
    files = {path.name: _file_hash(path) for path in sorted(folder.iterdir())}
    (folder / META).write_text(json.dumps({**meta, "files": files}), encoding="utf-8")


def read_sealed(folder: Path, key: str) -> dict[str, Any] | None:
    """The entry's description, or None where it is absent or any file is damaged."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        if meta["key"] != key:
            return None
        intact = all(_file_hash(folder / name) == hash_ for name, hash_ in meta["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return meta if intact else None


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
