# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents to sentences: one JSON object each, with the numbers of document and sentence."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pyro_textvae import zoo
from pyro_textvae.data.array_writer import ArrayWriter
from pyro_textvae.data.corpus_files import corpus_files
from pyro_textvae.data.data_file import DataFile, format_of
from pyro_textvae.data.file_format import ColumnNames, FileFormat
from pyro_textvae.data.layout import Layout, Sentence, Splitter
from pyro_textvae.data.preparation.sentence_splitter import sentence_splitter
from pyro_textvae.data.repeated_hashes import num_repeated, num_shared
from pyro_textvae.errors import UserError
from pyro_textvae.progress_bar import progress_bar

_UNSPLIT = "sentences"
"""What the file is called that is made of files without splits."""


@dataclass
class PreparedCounts:
    """What one file that was written holds, and what was left out."""

    documents: int = 0
    sentences: int = 0
    words: int = 0
    characters: int = 0
    longest: int = 0
    """Words of the longest sentence."""
    headings: int = 0
    """Headings that were left out."""
    repeated: int = 0
    """Sentences that came before in the same file."""
    in_other_files: int = 0
    """Sentences that stand in another file too."""


@dataclass
class Prepared:
    """Where sentences were written, and the counts of each file by its name."""

    folder: Path
    counts: dict[str, PreparedCounts] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The counts, fit for JSON."""
        return {name: asdict(counts) for name, counts in self.counts.items()}

    def __str__(self) -> str:
        names = list(asdict(PreparedCounts()))
        head = ["file", *(name.replace("_", " ") for name in names)]
        rows = [[n, *(f"{v:,}" for v in asdict(c).values())] for n, c in self.counts.items()]
        return as_table([head, *rows])


def as_table(rows: list[list[str]]) -> str:
    """Rows of cells in columns of a width each, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def prepare(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    layout: str = "plain",
    language: str = "en",
    text_column: str | None = None,
) -> Prepared:
    r"""Write the sentences of documents into a new folder: all of it, or nothing.

    A row has ``text``, ``document`` and ``sentence``; ``--document-column document`` makes
    documents of them again.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "wiki.tokens").write_text(" = Cats = \n A cat sat . It purred . \n")
    >>> prepared = prepare(folder / "wiki.tokens", folder / "out", layout="wikitext")
    >>> prepared.counts["sentences"].sentences
    2
    >>> print((folder / "out" / "sentences.jsonl").read_text().splitlines()[1])
    {"text": "It purred .", "document": 0, "sentence": 1}

    :param source: a folder with train, valid and test, files without splits, or a pattern of them.
    :param out: the folder, which must not be there yet.
    :param layout: a layout of the catalogue.
    :param language: of raw text, by its code.
    :param text_column: the column of the text, in files with columns.
    :raises UserError: for what cannot be read or written.
    """
    out = Path(out).expanduser()
    if out.exists():
        raise UserError(f"there is a {out} already: remove it, or give another name")
    zoo.check_name("layouts", layout)
    cls: Any = zoo.load("layouts", layout)
    files = corpus_files(Path(source).expanduser(), None, "a world or a source of the catalogue")
    columns = ColumnNames(str(source), text=text_column)
    splitter: Splitter = sentence_splitter(language) if layout == "plain" else lambda text: [text]
    working = out.with_name(f".{out.name}-{secrets.token_hex(6)}")
    result = Prepared(out)
    try:
        working.mkdir()
        for path, split in files.items():
            name = split or _UNSPLIT
            opened: FileFormat = zoo.load("formats", format_of(path)[1:])(
                columns, lambda text: None
            )
            made: Layout = cls(splitter, rows_are_documents=opened.has_columns)
            file = DataFile(path)
            counts = result.counts.setdefault(name, PreparedCounts())
            _write(made.sentences(_texts(opened, file)), working, name, counts)
            counts.headings += made.headings
            file.refuse_change()
        _count_repeated(working, result.counts)
        for name, counts in result.counts.items():
            if not counts.sentences:
                raise UserError(f"the files of {name} hold no sentence; is {layout} their layout?")
        text = json.dumps(result.to_dict(), indent=2)
        (working / "counts.json").write_text(text + "\n", encoding="utf-8")
        working.rename(out)
    except OSError as error:
        shutil.rmtree(working, ignore_errors=True)
        raise UserError(f"cannot write {str(out)!r}: {error.strerror or error}") from None
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise
    return result


def _texts(opened: FileFormat, file: DataFile) -> Iterator[str]:
    with progress_bar(total=file.size, desc=file.name, unit="B", unit_scale=True) as bar:
        for number, row in enumerate(opened.rows(file)):
            yield row.text
            if number % 1000 == 0:
                bar.update(file.position - bar.n)


def _write(sentences: Iterator[Sentence], folder: Path, name: str, counts: PreparedCounts) -> None:
    """Write the sentences of one file after those of the files before it."""
    before, current, number = counts.documents, -1, 0
    hashes = ArrayWriter(folder / f"{name}.hashes.npy", np.dtype("<i8"), counts.sentences)
    with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as out:
        try:
            for document, text in sentences:
                if document != current:
                    current, number = document, 0
                    counts.documents = before + document + 1
                row = {"text": text, "document": before + document, "sentence": number}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
                hashes.append([int.from_bytes(digest.digest(), "big", signed=True)])
                number += 1
                num_words = len(text.split())
                counts.sentences += 1
                counts.words += num_words
                counts.characters += len(text)
                counts.longest = max(counts.longest, num_words)
            hashes.close()
        except BaseException:
            hashes.abandon()
            raise


def _count_repeated(folder: Path, all_counts: dict[str, PreparedCounts]) -> None:
    arrays = {}
    for name, counts in all_counts.items():
        path = folder / f"{name}.hashes.npy"
        arrays[name] = np.load(path, mmap_mode="r+" if counts.sentences else None)
        arrays[name].sort()
    for name, counts in all_counts.items():
        others = [array for other, array in arrays.items() if other != name]
        counts.in_other_files = num_shared(arrays[name], others)
        counts.repeated = num_repeated(arrays[name])
    for name in all_counts:
        (folder / f"{name}.hashes.npy").unlink()
