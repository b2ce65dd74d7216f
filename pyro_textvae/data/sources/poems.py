# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Chinese poems in the user's own files, each with its form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import ClassVar

from pyro_textvae.data.languages.sign_classes import SignClasses, mandarin_classes
from pyro_textvae.data.languages.verse_form import Form
from pyro_textvae.data.records import Record, SplitName, content_digest
from pyro_textvae.data.sources.text_files import TextFiles
from pyro_textvae.errors import UserError

_ENDS_OF_LINES = re.compile(r"[/，。！？；：、,.!?;:\s\n]+")


class PoemFiles:
    """Poems, one a line in .txt, or lists of lines in .jsonl, as documents whose source is a form.

    Where a line of a poem ends, there is the end of a string of a list, a ``/``, white space or a
    mark of punctuation, which are no part of it. The form is what ``source_column`` holds, or it is
    read off the poem: the tone of each sign, and the rhyme of the ends of its lines. Tones and
    rhymes are those of today's Mandarin, by the most usual reading of each sign, of pypinyin, so a
    poem of old times has its form of today.

    :param location: a folder with train, valid and test, or one file, as for text files.
    :param text_column: of .jsonl, by default ``text``.
    :param source_column: of the form; by default it is read off the poem.
    :param file_split: where all of a single file goes, instead of being split 90/5/5.
    :raises UserError: naming file and line, for what cannot be read, a sign without a known tone, a
        form that there is not, and a poem that does not keep to its form.
    """

    spelling: ClassVar[str] = "poems:PATH"

    def __init__(
        self,
        location: str,
        text_column: str | None = None,
        source_column: str | None = None,
        file_split: SplitName | None = None,
    ) -> None:
        self._files = TextFiles(location, text_column, source_column, file_split=file_split)
        self.name = f"poems:{self._files.name}"
        self._classes = mandarin_classes("平")

    def digest(self) -> str:
        """A hash of the files, and of the package that tells tones and rhymes."""
        return content_digest("poems", version("pypinyin"), self._files.digest())

    def records(self) -> Iterator[Record]:
        """The poems, file by file in the order of their lines."""
        for record in self._files.records():
            yield record if record.skipped is not None else self._poem(record)

    def _poem(self, record: Record) -> Record:
        lines = [line for line in _ENDS_OF_LINES.split("\n".join(record.texts)) if line]
        if not lines:
            raise UserError(f"{record.place} holds no line of a poem: leave it out")
        classes = self._classes_of("".join(lines))
        try:
            form = Form.checked(record.source) if record.source else classes.form_of(lines)
        except UserError as error:
            raise UserError(f"{record.place}: {error}") from error
        faults = classes.faults(lines, form)
        if faults:
            further = f", and {len(faults) - 1} more" if faults[1:] else ""
            raise UserError(
                f"{record.place} does not keep to its form: {faults[0]}{further}; correct it, or "
                "leave source_column out to read the form off the poem"
            )
        return replace(record, text="\n".join(lines), sentences=tuple(lines), source=form.source)

    def _classes_of(self, signs: str) -> SignClasses:
        new = set(signs) - self._classes.tones.keys()
        if new:
            more = mandarin_classes(sorted(new))
            tones: Mapping[str, str] = {**self._classes.tones, **more.tones}
            self._classes = SignClasses(tones, {**self._classes.rhymes, **more.rhymes})
        return self._classes
