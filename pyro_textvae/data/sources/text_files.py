# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Corpora in the user's own files: a folder of three splits, or one file split by hash."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pyro_textvae import zoo
from pyro_textvae.data import tsv
from pyro_textvae.data.documents_of_rows import FileRow, documents_of, sentences_of
from pyro_textvae.data.guessed_column import GuessedColumn
from pyro_textvae.data.records import SPLITS, Record, SplitName, split_by_hash
from pyro_textvae.data.source import spellings
from pyro_textvae.data.text_lines import lines
from pyro_textvae.data.tsv import QUOTES, Quotes
from pyro_textvae.data.turns import join_turns, last_turns
from pyro_textvae.errors import UserError

SUFFIXES = (".txt", ".tsv", ".jsonl")
EmptyPairs = Literal["refuse", "drop", "keep"]
_SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "valid": "valid",
    "dev": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}
_USUAL_TEXT_COLUMNS = ("text", "sentence")
_USUAL_DOCUMENT_COLUMNS = ("sentences", "turns")
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


class TextFiles:
    r"""A folder with train, valid and test as .txt, .tsv or .jsonl, or one such file.

    One sentence a line in .txt; lines end at ``\n`` or ``\r\n`` only, and at ``\r`` in a file
    without ``\n``. The first row of a .tsv is a
    header where it holds one of the columns that are asked for (or ``text`` or ``sentence``);
    without a header the columns are ``column_0``, ``column_1``, ... and the text is ``column_0``.
    A document is a list of strings as the text in .jsonl, or neighbouring rows with one sentence
    each and the same in ``document_column``.

    :param location: the folder or file.
    :param text_column: the column of the text, by default ``text`` or ``sentence``, in .jsonl also
        ``sentences`` or ``turns``.
    :param source_column: the column of the text that it is conditioned on; no row may lack it.
    :param label_column: the column of the label; it is not given where the cell is empty, or the
        key is missing or null.
    :param file_split: where all of a single file goes, instead of being split 90/5/5.
    :param quotes: what a quote is in .tsv: ``csv``, around a cell whose own quotes are doubled, as
        pandas writes it; ``literal``, a character like others. By default csv for a file whose
        quotes are all of that kind, which is then a warning.
    :param empty_pairs: what to do with a row that lacks its text or its source, given a
        ``source_column``: ``refuse`` it, the default; ``drop`` and count it; or ``keep`` a source
        without a word, as a first turn has, and take a row without text for a blank line.
    :param source_turns: how many of the last turns of a source to take; by default all. Turns are
        what stands between ``|`` in it, or in .jsonl the strings of a list.
    :param document_column: the column that says which document a sentence is of.
    :raises UserError: naming file and line, for what cannot be read.
    """

    spelling: ClassVar[str] = "a folder or file of text (.txt, .tsv, .jsonl)"

    def __init__(
        self,
        location: str,
        text_column: str | None = None,
        source_column: str | None = None,
        label_column: str | None = None,
        file_split: SplitName | None = None,
        quotes: Quotes | None = None,
        empty_pairs: EmptyPairs | None = None,
        source_turns: int | None = None,
        document_column: str | None = None,
    ) -> None:
        try:
            path = Path(location).expanduser()
        except RuntimeError as error:
            raise UserError(
                f"cannot read {location[:200]!r}: {error}; write the path in full"
            ) from None
        self.name = path.name or str(path)
        self.text_column = text_column
        self.source_column = source_column
        self.label_column = label_column
        self.document_column = document_column
        self.file_split = file_split
        self.quotes = quotes
        self.empty_pairs = empty_pairs or "refuse"
        self.source_turns = source_turns
        self.warnings: list[str] = []
        """What was doubtful when the sentences were last read."""
        self.files: dict[Path, SplitName | None]
        try:
            self.files = _files(path, file_split)
        except OSError as error:
            raise UserError(f"cannot read {location[:200]!r}: {error.strerror}") from None
        columns = self._columns_asked_for()
        if columns and all(file.suffix == ".txt" for file in self.files):
            setting, column = next(iter(columns.items()))
            raise UserError(
                f"{setting}={column!r} applies to .tsv and .jsonl, and {self.name!r} is .txt; "
                "leave it out"
            )
        if quotes is not None and quotes not in QUOTES:
            raise UserError(f"quotes={quotes!r} must be one of {', '.join(QUOTES)}")
        if quotes is not None and all(file.suffix != ".tsv" for file in self.files):
            raise UserError(
                f"quotes={quotes!r} applies to .tsv, and {self.name!r} has none; leave it out"
            )
        if self.empty_pairs not in get_args(EmptyPairs):
            raise UserError(
                f"empty_pairs={empty_pairs!r} must be one of {', '.join(get_args(EmptyPairs))}"
            )
        of_source = {"empty_pairs": empty_pairs, "source_turns": source_turns}
        for setting, value in of_source.items():
            if value is not None and source_column is None:
                raise UserError(
                    f"{setting}={value!r} would do nothing, for no column of {self.name!r} is the "
                    "source: set source_column, or leave it out"
                )

    def _columns_asked_for(self) -> dict[str, str]:
        settings = ("text_column", "source_column", "label_column", "document_column")
        columns = {name: getattr(self, name) for name in settings}
        return {name: column for name, column in columns.items() if column is not None}

    def digest(self) -> str:
        """A hash of the files, the columns, what a quote is and what becomes of empty pairs."""
        settings: tuple[Any, ...] = (self._columns_asked_for(), self.quotes)
        if self.source_column is not None and self.empty_pairs != "keep":
            settings += (self.empty_pairs,)
        if self.source_turns is not None:
            settings += (f"turns {self.source_turns}",)
        digest = hashlib.sha256(repr(settings).encode())
        for path, split in self.files.items():
            try:
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from None
            digest.update(f"{split} {path.suffix} {content}\n".encode())
        return digest.hexdigest()

    def records(self) -> Iterator[Record]:
        """The sentences, file by file in the order of their lines."""
        self.warnings.clear()
        rows_of = {".txt": _plain_rows, ".tsv": self._tsv_rows, ".jsonl": self._jsonl_rows}
        total, has_label_column = 0, False
        for path, split in self.files.items():
            in_file = rows = 0
            for row in self._documents(rows_of[path.suffix](path), path):
                rows += 1
                has_label_column |= row.has_label_column
                record = self._record(row, split, f"{path.name} line {row.number}")
                in_file += record.skipped is None
                yield record
            if not in_file:
                what = "only blank lines" if path.stat().st_size else "an empty file"
                if path.suffix == ".tsv" and not rows and path.read_bytes().strip():
                    what = "only a header"
                raise UserError(f"{path.name} holds no sentence ({what}); put one sentence a line")
            total += in_file
        if total == 1 and self.file_split is None:
            raise UserError(
                f"{self.name} holds one single sentence, which cannot be split into train, valid"
                " and test; add sentences or give a folder with the three files"
            )
        if self.label_column is not None and not has_label_column:
            raise UserError(
                f"no row of {self.name} has the column {self.label_column!r}; set label_column to "
                "one that there is, or leave it out"
            )

    def _documents(self, rows: Iterator[FileRow], path: Path) -> Iterator[FileRow]:
        if self.document_column is None:
            return rows
        return documents_of(rows, self.document_column, lambda number: f"{path.name} line {number}")

    def _record(self, row: FileRow, split: SplitName | None, place: str) -> Record:
        text, source = row.text.strip(), None
        if row.source is not None:
            source = last_turns(row.source.strip(), self.source_turns)
        if source is not None and not (text and source) and self.empty_pairs != "keep":
            if self.empty_pairs == "refuse":
                raise UserError(
                    f"{place} has an empty {'source' if text else 'text'}: fill it in, or set "
                    "empty_pairs to drop, or to keep for sources without a word"
                )
            return Record(split or "train", "", place, skipped="empty_pair")
        if not text:
            return Record(split or "train", "", place, skipped="blank")
        return Record(
            split or split_by_hash(text),
            text,
            place,
            source=source,
            # An empty cell is a label that is not given.
            label=(row.label or "").strip() or None,
            columns=row.columns,
            sentences=row.sentences,
        )

    def _tsv_rows(self, path: Path) -> Iterator[FileRow]:
        names: list[str] = []
        text_name = ""
        # The first row may be a header whose names are not those that are looked for.
        guessed: GuessedColumn | None = None
        for number, cells, _ in tsv.rows(path, self.quotes or self._quotes_of(path)):
            if not cells:
                yield FileRow(number, "")
                continue
            if not names:
                place = f"{path.name} line {number}"
                names, text_name, is_header = self._read_first_row(cells, place)
                if is_header:
                    continue
                if self.text_column is None and len(names) > 1:
                    guessed = GuessedColumn()
            elif guessed is not None and len(cells) == len(names):
                guessed.add(cells)
            if len(cells) != len(names):
                raise UserError(
                    f"{path.name} line {number} has {len(cells)} columns where the first row has"
                    f" {len(names)}; give every row as many, set apart by single tabs"
                )
            columns = dict(zip(names, cells, strict=True))
            text = columns.pop(text_name)
            source = columns.pop(self.source_column) if self.source_column else None
            label = columns.pop(self.label_column) if self.label_column else None
            document = columns.pop(self.document_column) if self.document_column else None
            has_label_column = self.label_column is not None
            yield FileRow(number, text, source, label, columns, has_label_column, document)
        doubt = None if guessed is None else guessed.doubt()
        if doubt is not None:
            self.warnings.append(
                f"{path.name} names no column text or sentence in its first row, so its first "
                f"column is taken for the text, and that holds {doubt}: set text_column to a name "
                "in the first row, or to column_1 and so on"
            )

    def _quotes_of(self, path: Path) -> Quotes:
        """What a quote is in a file for which that is not set."""
        line = tsv.first_quoted_line(path)
        if line is None:
            return "literal"
        self.warnings.append(
            f"{path.name} line {line} has a cell in quotes, as pandas writes it, and so in all of "
            "the file quotes around cells are taken off: set quotes to csv if that is right, or to "
            "literal where a quote is a character"
        )
        return "csv"

    def _read_first_row(self, cells: list[str], place: str) -> tuple[list[str], str, bool]:
        """The names of the columns, that of the text, and whether this row is a header."""
        wanted = (self.text_column,) if self.text_column else _USUAL_TEXT_COLUMNS
        is_header = not {*wanted, *self._columns_asked_for().values()}.isdisjoint(cells)
        names = cells if is_header else [f"column_{index}" for index in range(len(cells))]
        if len(set(names)) < len(names):
            raise UserError(f"{place} names a column twice; rename one")
        if not is_header and self.text_column is None:
            wanted = ("column_0",)
        text_name = next((name for name in wanted if name in names), None)
        if text_name is None:
            raise _no_column(place, wanted, names, "text_column")
        for setting, column in self._columns_asked_for().items():
            if column not in names:
                raise _no_column(place, (column,), names, setting)
        self._refuse_shared_column(text_name)
        return names, text_name, is_header

    def _refuse_shared_column(self, text_name: str) -> None:
        columns = {**self._columns_asked_for(), "text_column": text_name}
        for column in columns.values():
            sharing = [name for name, value in columns.items() if value == column]
            if len(sharing) > 1:
                raise UserError(
                    f"{self.name}: {' and '.join(sharing)} are both {column!r}; give each another "
                    "column"
                )

    def _jsonl_rows(self, path: Path) -> Iterator[FileRow]:
        wanted = (self.text_column,) if self.text_column else _USUAL_TEXT_COLUMNS
        for number, line in lines(path):
            if not line.strip():
                yield FileRow(number, "")
                continue
            place = f"{path.name} line {number}"
            row = _json_object(line, place)
            names = wanted if self.text_column else (*wanted, *_USUAL_DOCUMENT_COLUMNS)
            text_name = next((name for name in names if name in row), None)
            if text_name is None:
                raise _no_column(place, wanted, list(row), "text_column")
            self._refuse_shared_column(text_name)
            if self.source_column and self.source_column not in row:
                raise _no_column(place, (self.source_column,), list(row), "source_column")
            text, sentences = _text(row, text_name, place)
            source = _source(row, self.source_column, place) if self.source_column else None
            has_label_column = self.label_column in row
            label = _label(row, self.label_column, place) if self.label_column else None
            document = self._document(row, sentences, place)
            columns = {name: _as_text(value) for name, value in row.items()}
            yield FileRow(
                number, text, source, label, columns, has_label_column, document, sentences
            )

    def _document(
        self, row: dict[str, Any], sentences: tuple[str, ...] | None, place: str
    ) -> str | None:
        if self.document_column is None:
            return None
        if sentences is not None:
            raise UserError(
                f"{place} holds a list of sentences, and document_column={self.document_column!r} "
                "is for one sentence a row; leave it out"
            )
        if self.document_column not in row:
            raise _no_column(place, (self.document_column,), list(row), "document_column")
        return _as_text(row.pop(self.document_column))


def _no_column(place: str, columns: Sequence[str], names: Sequence[str], setting: str) -> UserError:
    return UserError(
        f"{place} has no column {' or '.join(map(repr, columns))}; it has"
        f" {', '.join(names) or 'none'}; set {setting} to one of them"
    )


def _json_object(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{place} is not JSON ({error}); put one object a line") from None
    except ValueError as error:
        # Python takes no integer of thousands of digits.
        raise UserError(f"{place} holds a number that cannot be read: {error}") from None
    if not isinstance(row, dict):
        raise UserError(f"{place} is not a JSON object; put one a line")
    return row


def _string(row: dict[str, Any], name: str, place: str) -> str:
    value = row.pop(name)
    if not isinstance(value, str):
        raise UserError(f"{place}: {name!r} is {value!r}, not a string")
    if _HALF_SURROGATE.search(value):
        raise UserError(
            f"{place} holds half of a surrogate pair, which is not Unicode; fix its \\u escapes"
        )
    return value


def _text(row: dict[str, Any], name: str, place: str) -> tuple[str, tuple[str, ...] | None]:
    """The text of a row, and the sentences of a document, where it is one."""
    if not isinstance(row[name], list):
        return _string(row, name, place), None
    sentences = sentences_of(row[name], place)
    row[name] = "\n".join(sentences)
    return _string(row, name, place), sentences


def _source(row: dict[str, Any], name: str, place: str) -> str:
    turns = row.get(name)
    if not isinstance(turns, list):
        return _string(row, name, place)
    row[name] = join_turns(turns, place)
    return _string(row, name, place)


def _label(row: dict[str, Any], name: str, place: str) -> str | None:
    value = row.pop(name, None)
    if isinstance(value, list | dict):
        raise UserError(
            f"{place}: the label {name!r} is {value!r}; it must be a string, a number or a boolean"
        )
    return None if value is None else _as_text(value)


def _files(path: Path, file_split: SplitName | None) -> dict[Path, SplitName | None]:
    if path.is_dir():
        if file_split is not None:
            raise UserError(
                f"file_split={file_split!r} applies to one file, and {str(path)!r} is a folder with"
                " splits of its own; leave it out"
            )
        return {file: split for split, file in _split_files(path).items()}
    if not path.exists():
        near = difflib.get_close_matches(str(path), zoo.names("sources"), n=1)
        hint = f"did you mean {near[0]!r}? Else give" if near else "give"
        others = ", ".join(text for text in spellings() if text != TextFiles.spelling)
        raise UserError(
            f"no such corpus: {str(path)!r}; {hint} {others}, a folder with train, valid and test "
            "files, one .txt, .tsv or .jsonl file, or a source of your own as file.py:Class"
        )
    if not path.is_file():
        raise UserError(
            f"{str(path)!r} is no file but a pipe or a device, which cannot be read twice; copy "
            "what it gives into a file"
        )
    if path.suffix not in SUFFIXES:
        raise UserError(f"{str(path)!r} is not a .txt, .tsv or .jsonl file; rename or convert it")
    return {path: file_split}


def _split_files(folder: Path) -> dict[SplitName, Path]:
    files: dict[SplitName, Path] = {}
    for path in sorted(folder.iterdir()):
        split = _SPLIT_NAMES.get(path.stem.rsplit(".", 1)[-1].lower())
        if path.suffix not in SUFFIXES or split is None or not path.is_file():
            continue
        if split in files:
            raise UserError(
                f"{folder.name} has two files for {split}: {files[split].name} and {path.name};"
                " remove one"
            )
        files[split] = path
    for split in SPLITS:
        if split not in files:
            raise UserError(
                f"{str(folder)!r} has no {split} file; add {split}.txt, {split}.tsv or"
                f" {split}.jsonl"
            )
    return {split: files[split] for split in SPLITS}


def _plain_rows(path: Path) -> Iterator[FileRow]:
    for number, line in lines(path):
        yield FileRow(number, line)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
