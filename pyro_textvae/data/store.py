# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The packed store of an encoded corpus: ids end to end, where each row starts, other columns."""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Part of every cache key: raise it when the files, or the text that a source yields, change.
FORMAT_VERSION = 1
META = "meta.json"
TOKENIZER = "tokenizer.json"


def id_dtype(vocab_size: int) -> np.dtype[Any]:
    """Return the smallest type that holds every id of a vocabulary."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


class SplitWriter:
    """Write the rows of one split, streaming; `close` completes the files."""

    def __init__(self, folder: Path, split: str, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._ids = (folder / f"{split}.ids.npy").open("wb+")
        self._columns = (folder / f"{split}.columns.jsonl").open("w", encoding="utf-8")
        self._offsets_path = folder / f"{split}.offsets.npy"
        self._offsets = array("q", [0])
        self._digest = hashlib.sha256()
        self.column_names: dict[str, None] = {}
        self._write_header()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.num_tokens,),
        }
        np.lib.format.write_array_header_1_0(self._ids, header)

    @property
    def num_sentences(self) -> int:
        return len(self._offsets) - 1

    @property
    def num_tokens(self) -> int:
        return self._offsets[-1]

    @property
    def longest(self) -> int:
        return int(np.diff(np.frombuffer(self._offsets, dtype=np.int64)).max(initial=0))

    def append(self, ids: np.ndarray, columns: dict[str, str]) -> None:
        data = ids.astype(self._dtype).tobytes()
        self._ids.write(data)
        self._digest.update(data)
        self._offsets.append(self._offsets[-1] + len(ids))
        self._columns.write(json.dumps(columns) + "\n")
        self.column_names.update(dict.fromkeys(columns))

    def close(self) -> str:
        """Complete the files and return the hash of ids and row boundaries."""
        self._ids.seek(0)
        # NumPy leaves room in the header for the first axis to grow, so it can be written twice.
        self._write_header()
        self._ids.close()
        self._columns.close()
        offsets = np.frombuffer(self._offsets, dtype=np.int64).astype("<i8")
        np.save(self._offsets_path, offsets)
        self._digest.update(offsets.tobytes())
        return self._digest.hexdigest()


class Columns(Mapping[str, list[str]]):
    """The columns of a split beside the text; a column is read from disk when it is asked for."""

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
    """Return the entry's description, or None where it is absent or any file is damaged."""
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
