# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Corpora in the user's own files: a folder of three splits, or one file split by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pyro_textvae import zoo
from pyro_textvae.data.corpus_files import corpus_files
from pyro_textvae.data.data_file import DataFile, format_of
from pyro_textvae.data.documents_of_rows import FileRow, documents_of
from pyro_textvae.data.file_digest import file_digest
from pyro_textvae.data.file_format import ColumnNames, FileFormat
from pyro_textvae.data.records import Record, SplitName, split_by_hash
from pyro_textvae.data.source import spellings
from pyro_textvae.data.tsv import QUOTES, Quotes
from pyro_textvae.data.turns import last_turns
from pyro_textvae.errors import UserError

EmptyPairs = Literal["refuse", "drop", "keep"]


class TextFiles:
    """A folder with train, valid and test in any format of the catalogue, or files without splits.

    Each may be compressed: ``train.txt.gz``, ``.zst`` or ``.xz``. A split may have several files,
    as ``train-00000-of-00008.parquet``; one file, those that a pattern such as ``news/*.txt`` names
    and those of a folder where none is named by a split are split by the hash of the sentence.
    A document is a list of strings as the text in .jsonl, .parquet and .arrow, or neighbouring rows
    with one sentence each and the same in ``document_column``.

    :param location: the folder, file or pattern.
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

    spelling: ClassVar[str] = "a folder, a file or a pattern of files of text"

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
        others = ", ".join(text for text in spellings() if text != TextFiles.spelling)
        try:
            self.files = corpus_files(path, file_split, others)
            self._opened = {path: DataFile(path) for path in self.files}
        except OSError as error:
            raise UserError(f"cannot read {location[:200]!r}: {error.strerror}") from None
        columns = ColumnNames(
            self.name, text_column, source_column, label_column, document_column, quotes
        )
        self._formats: dict[Path, FileFormat] = {
            path: zoo.load("formats", format_of(path)[1:])(columns, self.warnings.append)
            for path in self.files
        }
        self._columns = columns.asked_for
        self.files_read = 0
        """How many files were read to their end, when the sentences were last read."""
        self._read: dict[str, Any] = {}
        self._read_before: dict[str, Any] = {}
        if self._columns and not any(each.has_columns for each in self._formats.values()):
            setting, column = next(iter(self._columns.items()))
            raise UserError(
                f"{setting}={column!r} applies to files with columns, such as .tsv and .jsonl, and "
                f"{self.name!r} is .txt; leave it out"
            )
        if quotes is not None and quotes not in QUOTES:
            raise UserError(f"quotes={quotes!r} must be one of {', '.join(QUOTES)}")
        if quotes is not None and all(format_of(file) != ".tsv" for file in self.files):
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

    @property
    def num_bytes(self) -> int:
        """Bytes of all files, as they lie on the disk."""
        return sum(file.size for file in self._opened.values())

    @property
    def bytes_read(self) -> int:
        """Of these, how many were read in this pass."""
        files = list(self._opened.values())
        current = files[self.files_read].position if self.files_read < len(files) else 0
        return sum(file.size for file in files[: self.files_read]) + current

    def digest(self) -> str:
        """A hash of the files, the columns, what a quote is and what becomes of empty pairs."""
        settings: tuple[Any, ...] = (self._columns, self.quotes)
        if self.source_column is not None and self.empty_pairs != "keep":
            settings += (self.empty_pairs,)
        if self.source_turns is not None:
            settings += (f"turns {self.source_turns}",)
        digest = hashlib.sha256(repr(settings).encode())
        for path, split in self.files.items():
            try:
                content = file_digest(path)
            except OSError as error:
                raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from None
            suffix = "".join(path.suffixes[-2:]) if path.suffix != format_of(path) else path.suffix
            digest.update(f"{split} {suffix} {content}\n".encode())
        return digest.hexdigest()

    def state(self) -> dict[str, Any]:
        """How far the sentences were read, in whole files; fit for JSON."""
        return {**self._read, "files_read": self.files_read}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Begin the next :meth:`records` after the files that :meth:`state` says were read."""
        self._read_before = dict(state)

    def records(self) -> Iterator[Record]:
        """The sentences, file by file in the order of their lines.

        :raises UserError: naming file and line, for what cannot be read; and for a file that was
            written to meanwhile.
        """
        read, self._read_before = self._read_before, {}
        self._read = read
        self.files_read = read.get("files_read", 0)
        self.warnings[:] = read.get("warnings", [])
        total, has_label_column = read.get("total", 0), read.get("has_label_column", False)
        for path, split in list(self.files.items())[self.files_read :]:
            file = self._opened[path]
            in_file = rows = 0
            # Closed at once where a row is refused, and not whenever its error is forgotten.
            with file.reading(self._documents(self._formats[path].rows(file), path)) as read_rows:
                for row in read_rows:
                    rows += 1
                    has_label_column |= row.has_label_column
                    record = self._record(row, split, f"{path.name} line {row.number}")
                    in_file += record.skipped is None
                    yield record
            file.refuse_change()
            if not in_file:
                what = "only blank lines" if rows else "an empty file"
                if self._formats[path].has_columns and not rows and file.size:
                    what = "only a header"
                raise UserError(f"{path.name} holds no sentence ({what}); put one sentence a line")
            total += in_file
            self.files_read += 1
            # What the next file has to be warned of is said when that one is read again.
            of_all = {"total": total, "has_label_column": has_label_column}
            self._read = {**of_all, "warnings": list(self.warnings)}
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
