# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences from NLTK's own corpus readers: `nltk:brown`, `nltk:treebank`, ..."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from pyro_textvae.data.import_nltk import import_nltk
from pyro_textvae.data.records import Record, content_digest, split_by_hash
from pyro_textvae.errors import UserError

_KNOWN = ("brown", "treebank", "gutenberg", "reuters", "inaugural", "webtext", "movie_reviews")
_REFUSED = "Refused, writable by other accounts"
_WHITESPACE = re.compile(r"\s+")


class NLTKCorpus:
    """All sentences of an NLTK corpus in its own order, words joined by single spaces.

    Whitespace inside a word becomes ``_``. Splits are 90/5/5 by the hash of the sentence, so equal
    sentences share one; nothing is de-duplicated.

    :param location: the name of a corpus reader of ``nltk.corpus``, such as ``brown``.
    :raises UserError: where the name is unknown, the data are absent, or NLTK refuses files that
        other accounts can write.
    """

    spelling: ClassVar[str] = "nltk:NAME"

    def __init__(self, location: str) -> None:
        self.corpus_name = location
        self.name = f"nltk:{location}"
        self._reader = self._open()

    def _open(self) -> Any:
        module = import_nltk("nltk.corpus")
        util = import_nltk("nltk.corpus.util")
        api = import_nltk("nltk.corpus.reader.api")
        examples = ", ".join(_KNOWN)
        # Looking an attribute up on a reader loads it, so the name is judged by the module's own.
        reader = vars(module).get(self.corpus_name)
        if not isinstance(reader, util.LazyCorpusLoader | api.CorpusReader):
            raise UserError(f"NLTK has no corpus reader named {self.corpus_name!r}; try {examples}")
        with _plain_errors(self.corpus_name), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "NLTK will not read", RuntimeWarning)
            reader.fileids()
        if not hasattr(reader, "sents"):
            raise UserError(
                f"the NLTK corpus {self.corpus_name!r} has no sentences; try {examples}"
            )
        return reader

    def digest(self) -> str:
        """A hash of the corpus' files."""
        with _plain_errors(self.corpus_name):
            files = [str(path) for path in self._reader.fileids()]
            parts = [part for path in files for part in (path, self._content(path))]
        return content_digest(self.name, *parts)

    def _content(self, path: str) -> str:
        with self._reader.open(path) as stream:
            content = stream.read()
        return content if isinstance(content, str) else content.decode("latin-1")

    def records(self) -> Iterator[Record]:
        """The sentences, in the order of NLTK's reader."""
        with _plain_errors(self.corpus_name):
            for number, words in enumerate(self._reader.sents(), start=1):
                text = " ".join(_WHITESPACE.sub("_", word.strip()) for word in words).strip()
                place = f"{self.name} sentence {number}"
                if text:
                    yield Record(split_by_hash(text), text, place)
                else:
                    yield Record("train", "", place, skipped="blank")


@contextmanager
def _plain_errors(corpus_name: str) -> Iterator[None]:
    """Turn NLTK's many-line complaints about its data into one line that says how to fix it."""
    try:
        yield
    except UserError:
        raise
    except (LookupError, OSError, ValueError) as error:
        message = " ".join(str(error).split())
        if _REFUSED in message or isinstance(error, PermissionError):
            folder = re.search(r"Refused[^']*'([^']+)'|will not read '([^']+)'", message)
            where = next(filter(None, folder.groups()), None) if folder else None
            raise UserError(
                f"NLTK refuses the data of {corpus_name!r}, as other accounts can write them; fix"
                f" it with `chmod -R go-w {where or 'NLTK_DATA'}`"
            ) from None
        missing = re.search(r"Resource '?(?:\S*/)?([\w.-]+?)'? not found", message)
        if missing:
            raise UserError(
                f"the NLTK data {missing[1]!r} for {corpus_name!r} are not installed; get them with"
                f" `python -m nltk.downloader {missing[1]}` or set NLTK_DATA to where they are"
            ) from None
        raise UserError(
            f"NLTK cannot read the corpus {corpus_name!r} ({message[:200]}); get it again with"
            f" `python -m nltk.downloader {corpus_name}`"
        ) from None
