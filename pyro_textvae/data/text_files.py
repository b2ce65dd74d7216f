# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Corpora in the user's own files: a folder of three splits, or one file split by hash."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from pyro_textvae.data.records import SPLITS, Record, SplitName, split_by_hash
from pyro_textvae.errors import UserError

_SUFFIXES = (".txt", ".tsv", ".jsonl")
_SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "valid": "valid",
    "dev": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}
_USUAL_TEXT_COLUMNS = ("text", "sentence")
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


class TextFiles:
    r"""A folder with train, valid and test as .txt, .tsv or .jsonl, or one such file.

    One sentence a line in .txt; lines end at `\n` or `\r\n` only. The first row of a .tsv is a
    header where it holds `text_column` (or `text` or `sentence`); without a header the columns are
    `column_0`, `column_1`, ... and the text is `column_0`. Raises `UserError` naming file and line
    for what cannot be read.
    """

    def __init__(self, path: Path, text_column: str | None = None) -> None:
        self.name = path.name or str(path)
        self.text_column = text_column
        self.files: dict[Path, SplitName | None]
        if path.is_dir():
            self.files = {found: split for split, found in _split_files(path).items()}
        elif not path.exists():
            raise UserError(
                f"no such corpus: {str(path)!r}; give stdlib, grammar, nltk:NAME, a folder with"
                " train, valid and test files, or one .txt, .tsv or .jsonl file"
            )
        elif path.suffix not in _SUFFIXES:
            raise UserError(
                f"{str(path)!r} is not a .txt, .tsv or .jsonl file; rename or convert it"
            )
        else:
            self.files = {path: None}
        if text_column is not None and all(file.suffix == ".txt" for file in self.files):
            raise UserError(
                f"text_column={text_column!r} applies to .tsv and .jsonl, and {self.name!r} is"
                " .txt; leave it out"
            )

    def digest(self) -> str:
        digest = hashlib.sha256(repr(self.text_column).encode())
        for path, split in self.files.items():
            try:
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from None
            digest.update(f"{split} {path.suffix} {content}\n".encode())
        return digest.hexdigest()

    def records(self) -> Iterator[Record]:
        kept = 0
        for path, split in self.files.items():
            kept_here = 0
            for record in self._records_of(path, split):
                kept_here += record.skipped is None
                yield record
            if not kept_here:
                what = "only blank lines" if path.stat().st_size else "an empty file"
                raise UserError(f"{path.name} holds no sentence ({what}); put one sentence a line")
            kept += kept_here
        if kept == 1:
            raise UserError(
                f"{self.name} holds one single sentence, which cannot be split into train, valid"
                " and test; add sentences or give a folder with the three files"
            )

    def _records_of(self, path: Path, split: SplitName | None) -> Iterator[Record]:
        rows = {".txt": _plain_rows, ".tsv": self._tsv_rows, ".jsonl": self._jsonl_rows}
        for number, text, columns in rows[path.suffix](path):
            place = f"{path.name} line {number}"
            stripped = text.strip()
            if stripped:
                yield Record(split or split_by_hash(stripped), stripped, place, columns)
            else:
                yield Record(split or "train", "", place, skipped="blank")

    def _tsv_rows(self, path: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
        names: list[str] | None = None
        text_index = 0
        for number, line in _lines(path):
            cells = line.split("\t")
            if names is None:
                if not line.strip():
                    yield number, "", {}
                    continue
                wanted = (self.text_column,) if self.text_column else _USUAL_TEXT_COLUMNS
                headed = next((name for name in wanted if name in cells), None)
                names = cells if headed else [f"column_{index}" for index in range(len(cells))]
                if len(set(names)) < len(names):
                    raise UserError(f"{path.name} line {number} names a column twice; rename one")
                text_name = headed or self.text_column or "column_0"
                if text_name not in names:
                    raise UserError(
                        f"{path.name} line {number} has no column {text_name!r}; it has"
                        f" {', '.join(names)}; set text_column to one of them"
                    )
                text_index = names.index(text_name)
                if headed:
                    continue
            if not line.strip():
                yield number, "", {}
                continue
            if len(cells) != len(names):
                raise UserError(
                    f"{path.name} line {number} has {len(cells)} columns where the first row has"
                    f" {len(names)}; give every row as many, set apart by single tabs"
                )
            columns = dict(zip(names, cells, strict=True))
            yield number, columns.pop(names[text_index]), columns

    def _jsonl_rows(self, path: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
        wanted = (self.text_column,) if self.text_column else _USUAL_TEXT_COLUMNS
        for number, line in _lines(path):
            if not line.strip():
                yield number, "", {}
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise UserError(
                    f"{path.name} line {number} is not JSON ({error}); put one object a line"
                ) from None
            if not isinstance(row, dict):
                raise UserError(f"{path.name} line {number} is not a JSON object; put one a line")
            name = next((name for name in wanted if name in row), None)
            if name is None:
                raise UserError(
                    f"{path.name} line {number} has no column {' or '.join(map(repr, wanted))}; it"
                    f" has {', '.join(row) or 'none'}; set text_column to one of them"
                )
            text = row.pop(name)
            if not isinstance(text, str):
                raise UserError(f"{path.name} line {number}: {name!r} is {text!r}, not a string")
            if _HALF_SURROGATE.search(text):
                raise UserError(
                    f"{path.name} line {number} holds half of a surrogate pair, which is not"
                    " Unicode; mend its \\u escapes"
                )
            yield number, text, {key: _as_text(value) for key, value in row.items()}


def _split_files(folder: Path) -> dict[SplitName, Path]:
    found: dict[SplitName, Path] = {}
    for path in sorted(folder.iterdir()):
        split = _SPLIT_NAMES.get(path.stem.rsplit(".", 1)[-1].lower())
        if path.suffix not in _SUFFIXES or split is None or not path.is_file():
            continue
        if split in found:
            raise UserError(
                f"{folder.name} has two files for {split}: {found[split].name} and {path.name};"
                " remove one"
            )
        found[split] = path
    for split in SPLITS:
        if split not in found:
            raise UserError(
                f"{str(folder)!r} has no {split} file; add {split}.txt, {split}.tsv or"
                f" {split}.jsonl"
            )
    return {split: found[split] for split in SPLITS}


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number, line); only a line feed ends a line, unlike `str.splitlines`."""
    with path.open("rb") as file:
        for number, data in enumerate(file, start=1):
            if b"\0" in data:
                raise UserError(f"{path.name} line {number} is binary, not text; give UTF-8 text")
            try:
                line = data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path.name} line {number} is not UTF-8 (byte {error.start}); convert the"
                    " file, for example with `iconv -t UTF-8`"
                ) from None
            yield number, line.removesuffix("\n").removesuffix("\r")


def _plain_rows(path: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
    for number, line in _lines(path):
        yield number, line, {}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
