# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a format of files says of itself, and the columns that are looked for in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pyro_textvae.data.data_file import DataFile
from pyro_textvae.data.documents_of_rows import FileRow
from pyro_textvae.data.tsv import Quotes
from pyro_textvae.errors import UserError

USUAL_TEXT_COLUMNS = ("text", "sentence")
"""Columns that hold the text where none is named."""


@dataclass(frozen=True)
class ColumnNames:
    """The columns that were asked for; None for those that were not.

    :param corpus: what the corpus is called, for messages.
    :param quotes: what a quote is in .tsv.
    """

    corpus: str
    text: str | None = None
    source: str | None = None
    label: str | None = None
    document: str | None = None
    quotes: Quotes | None = None

    @property
    def asked_for(self) -> dict[str, str]:
        """The columns by their settings."""
        names = ("text", "source", "label", "document")
        columns = {f"{name}_column": getattr(self, name) for name in names}
        return {name: column for name, column in columns.items() if column is not None}

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns of which one is to hold the text."""
        return (self.text,) if self.text else USUAL_TEXT_COLUMNS

    def refuse_shared(self, text_name: str) -> None:
        """Refuse two settings with one column.

        :raises UserError: with their names.
        """
        columns = {**self.asked_for, "text_column": text_name}
        for column in columns.values():
            sharing = [name for name, value in columns.items() if value == column]
            if len(sharing) > 1:
                raise UserError(
                    f"{self.corpus}: {' and '.join(sharing)} are both {column!r}; give each "
                    "another column"
                )


class FileFormat:
    """Base of the formats: one file each, which is called as the ending of the files is.

    :param columns: those that were asked for.
    :param warn: is told what is doubtful.
    """

    has_columns: ClassVar[bool] = True
    """Whether there are columns, of which one is the text."""

    def __init__(self, columns: ColumnNames, warn: Callable[[str], None]) -> None:
        self.columns = columns
        self.warn = warn

    def rows(self, file: DataFile) -> Iterator[FileRow]:
        """The rows in their order; of a blank line, the text is empty.

        :raises UserError: naming file and line, for what cannot be read.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define rows")


def no_column(place: str, columns: Sequence[str], names: Sequence[str], setting: str) -> UserError:
    """The error that a column is missing, with those that there are."""
    return UserError(
        f"{place} has no column {' or '.join(map(repr, columns))}; it has"
        f" {', '.join(names) or 'none'}; set {setting} to one of them"
    )
