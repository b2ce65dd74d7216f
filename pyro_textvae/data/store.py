# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The packed store of an encoded corpus: ids end to end, where each row starts, other columns."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pyro_textvae.contract import NOT_GIVEN, SOURCE
from pyro_textvae.data.array_writer import ArrayWriter, close_unfinished
from pyro_textvae.data.file_digest import file_digest
from pyro_textvae.data.records import content_digest

# Part of every cache key: raise it when the files, or the text that a source yields, change.
FORMAT_VERSION = 6
META = "meta.json"
TOKENIZER = "tokenizer.json"
CHECKPOINT = "checkpoint.json"
"""How far the files of a source were encoded, in a folder that is not sealed yet."""

_INT64 = np.dtype("<i8")


def id_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id of a vocabulary."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


class RowWriter:
    """Write rows of ids end to end, streaming; :meth:`close` completes the two files.

    :param folder: where ``STEM.ids.npy`` and ``STEM.offsets.npy`` go.
    :param stem: what they are called.
    :param dtype: of an id in the file.
    :param state: what :meth:`state` said, to go on from there.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        dtype: np.dtype[Any],
        state: Mapping[str, int] | None = None,
    ) -> None:
        ids, rows = (0, 0) if state is None else (state["ids"], state["rows"])
        self._ids = ArrayWriter(folder / f"{stem}.ids.npy", dtype, ids)
        self._offsets = ArrayWriter(folder / f"{stem}.offsets.npy", _INT64, rows and rows + 1)
        if not rows:
            self._offsets.append([0])

    @property
    def num_rows(self) -> int:
        """Rows written so far."""
        return self._offsets.size - 1

    @property
    def num_ids(self) -> int:
        """Ids of all rows together."""
        return self._ids.size

    def append(self, ids: np.ndarray) -> None:
        """Write one row."""
        self.extend(ids, np.array([len(ids)]))

    def extend(self, ids: np.ndarray | array[int], lengths: np.ndarray | array[int]) -> None:
        """Write rows of these lengths, whose ids come end to end."""
        first = self.num_ids
        self._ids.append(ids)
        self._offsets.append(first + np.cumsum(lengths, dtype=np.int64))

    def state(self) -> dict[str, int]:
        """How much is in the files, to go on from."""
        self._ids.flush()
        self._offsets.flush()
        return {"ids": self.num_ids, "rows": self.num_rows}

    def close(self) -> str:
        """Complete the files and return the hash of ids and row boundaries."""
        digest = hashlib.sha256()
        for writer in (self._ids, self._offsets):
            writer.close()
            for block in writer.blocks():
                digest.update(block)
        return digest.hexdigest()

    def abandon(self) -> None:
        """Close the files as they are."""
        self._ids.abandon()
        self._offsets.abandon()


class SplitWriter:
    """Write all fields of one split, streaming; :meth:`close` completes the files.

    :param folder: where the files go.
    :param split: what they are called.
    :param dtype: of an id in the files.
    :param state: what :meth:`state` said, to go on from there.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        dtype: np.dtype[Any],
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder, self._split, self._dtype = folder, split, dtype
        at: Mapping[str, Any] = state or {}
        self.tokens = RowWriter(folder, split, dtype, at.get("tokens"))
        self.source: RowWriter | None = None
        if at.get("source") is not None:
            self.source = RowWriter(folder, f"{split}.{SOURCE}", dtype, at["source"])
        self.documents: ArrayWriter | None = None
        """How many rows there are before each document, and in the end."""
        if at.get("documents"):
            self.documents = ArrayWriter(self._path("documents"), _INT64, at["documents"])
        self._labels = ArrayWriter(self._path("labels"), _INT64, at.get("labels", 0))
        self._columns = _opened(folder / f"{split}.columns.jsonl", at.get("columns", 0))
        self.column_names: dict[str, None] = dict.fromkeys(at.get("column_names", ()))
        self.num_labelled: int = at.get("num_labelled", 0)
        """Sentences whose label is given."""

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._split}.{name}.npy"

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
            self.documents.append([self.tokens.num_rows])
        if source is not None:
            self.start_source().append(source)
        self.append_beside([label], [columns])

    def append_beside(self, labels: Sequence[int], columns: Sequence[dict[str, str]]) -> None:
        """Write what stands beside the ids of some data."""
        self._labels.append(labels)
        self.num_labelled += sum(label != NOT_GIVEN for label in labels)
        written = (json.dumps(cells) if cells else "{}" for cells in columns)
        self._columns.write("".join(f"{line}\n" for line in written).encode())
        for cells in columns:
            if cells:
                self.column_names.update(dict.fromkeys(cells))

    def start_source(self) -> RowWriter:
        """The rows of the sources, which are there from now on, if only as none."""
        if self.source is None:
            self.source = RowWriter(self._folder, f"{self._split}.{SOURCE}", self._dtype)
        return self.source

    def start_documents(self) -> None:
        """From now on a datum is a document."""
        if self.documents is None:
            self.documents = ArrayWriter(self._path("documents"), _INT64)
            self.documents.append([0])

    def state(self) -> dict[str, Any]:
        """How much is in the files, to go on from."""
        for writer in (self.documents, self._labels):
            if writer is not None:
                writer.flush()
        self._columns.flush()
        return {
            "tokens": self.tokens.state(),
            "source": None if self.source is None else self.source.state(),
            "documents": None if self.documents is None else self.documents.size,
            "labels": self._labels.size,
            "columns": self._columns.tell(),
            "column_names": list(self.column_names),
            "num_labelled": self.num_labelled,
        }

    def close(self, label_order: Sequence[int] | None) -> str:
        """Complete the files and return the hash of all fields.

        That of a split with tokens alone is the one that it had before there were other fields.

        :param label_order: the final index of each label in the order of first appearance; None
            where the corpus has no labels.
        """
        self._columns.close()
        parts = [self.tokens.close()]
        if self.documents is not None:
            parts += ["documents", _closed(self.documents)]
        if self.source is not None:
            parts += ["source", self.source.close()]
        self._labels.close()
        if label_order is None:
            self._labels.path.unlink()
        else:
            indices = np.array([*label_order, NOT_GIVEN], dtype=_INT64)
            # The last entry is that of a label that is not given, whose index is -1.
            self._labels.replace(lambda numbers: indices[numbers])
            parts += ["labels", _closed(self._labels)]
        return parts[0] if len(parts) == 1 else content_digest(*parts)

    def abandon(self) -> None:
        """Close the files as they are."""
        for writer in (self.tokens, self.source, self.documents, self._labels):
            if writer is not None:
                writer.abandon()
        close_unfinished(self._columns)


def _closed(writer: ArrayWriter) -> str:
    """The hash of what is in a file that is complete now."""
    writer.close()
    digest = hashlib.sha256()
    for block in writer.blocks():
        digest.update(block)
    return digest.hexdigest()


def _opened(path: Path, size: int) -> BinaryIO:
    """A file to write on from this place."""
    if not size:
        return path.open("wb")
    file = path.open("r+b")
    file.truncate(size)
    file.seek(size)
    return file


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
    files = {p.name: file_digest(p, is_finished=True) for p in sorted(folder.iterdir())}
    (folder / META).write_text(json.dumps({**meta, "files": files}), encoding="utf-8")


def read_sealed(folder: Path, key: str) -> dict[str, Any] | None:
    """The entry's description, or None where it is absent or any file is damaged."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        if meta["key"] != key:
            return None
        intact = all(file_digest(folder / name) == hash_ for name, hash_ in meta["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return meta if intact else None
