# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Data sets of Hugging Face, out of its cache or by the network: `hf:NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pyro_textvae.data.arrow_rows import ROWS_AT_ONCE, arrow_rows, refuse_missing_columns
from pyro_textvae.data.corpus_files import SPLIT_NAMES
from pyro_textvae.data.documents_of_rows import documents_of
from pyro_textvae.data.file_format import ColumnNames
from pyro_textvae.data.records import Record, SplitName, content_digest, split_by_hash
from pyro_textvae.errors import UserError, in_one_line


class HuggingFaceDataset:
    """A data set by its name on the hub, or by the folder of ``save_to_disk``.

    Its splits train, validation and test; one that has train alone is split 90/5/5 by the hash of
    the sentence. Of a data set with several configurations, one is named after a colon.

    :param location: ``NAME`` or ``NAME:CONFIGURATION``.
    :param text_column: the column of the text, by default ``text`` or ``sentence``.
    :param source_column: the column of the text that it is conditioned on.
    :param label_column: the column of the label; a number of a ``ClassLabel`` becomes its name.
    :param document_column: the column that says which document a sentence is of.
    :raises UserError: where ``datasets`` is not installed or cannot load it.
    """

    spelling: ClassVar[str] = "hf:NAME"

    def __init__(
        self,
        location: str,
        text_column: str | None = None,
        source_column: str | None = None,
        label_column: str | None = None,
        document_column: str | None = None,
    ) -> None:
        self.name = f"hf:{location}"
        self._columns = ColumnNames(
            self.name, text_column, source_column, label_column, document_column
        )
        self._splits: dict[SplitName | None, Any] = {}
        for name, table in _load(location).items():
            split = SPLIT_NAMES.get(str(name))
            if split is not None:
                self._splits[split] = table
        if list(self._splits) == ["train"]:
            self._splits = {None: self._splits["train"]}
        elif len(self._splits) != 3:
            there = ", ".join(map(str, self._splits)) or "none"
            raise UserError(
                f"{self.name} has no train, validation and test, but {there}: write the splits "
                "into files"
            )

    def digest(self) -> str:
        """A hash of the content, as ``datasets`` has it, and of the columns."""
        prints = [f"{split} {table._fingerprint}" for split, table in self._splits.items()]
        return content_digest(self.name, repr(self._columns), *prints)

    def records(self) -> Iterator[Record]:
        """The rows of each split in their order."""
        columns = self._columns
        for split, table in self._splits.items():
            refuse_missing_columns(table.column_names, columns, self.name)
            names = getattr(table.features.get(columns.label), "names", None)
            batches = (
                part.combine_chunks().to_batches()[0]
                for part in table.with_format("arrow").iter(batch_size=ROWS_AT_ONCE)
            )
            place = f"{self.name} {split or 'train'}"
            rows = arrow_rows(batches, columns, place)
            if columns.document is not None:
                rows = documents_of(rows, columns.document, lambda n: f"{place} row {n}")  # noqa: B023
            for row in rows:
                text, label = row.text.strip(), row.label
                if names is not None and label is not None:
                    label = names[int(label)] if int(label) >= 0 else None
                here = f"{place} row {row.number}"
                if not text:
                    yield Record(split or "train", "", here, skipped="blank")
                    continue
                if row.source is not None and not row.source.strip():
                    raise UserError(f"{here} has an empty source: leave such rows out")
                yield Record(
                    split or split_by_hash(text),
                    text,
                    here,
                    source=None if row.source is None else row.source.strip(),
                    label=(label or "").strip() or None,
                    columns=row.columns,
                    sentences=row.sentences,
                )


def _load(location: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"hf:{location} needs datasets: pip install 'pyro-textvae[datasets]'"
        ) from None
    name, _, configuration = location.partition(":")
    try:
        if Path(name).is_dir():
            loaded = datasets.load_from_disk(name)
        else:
            loaded = datasets.load_dataset(name, configuration or None)
    except Exception as error:
        raise UserError(
            f"datasets cannot load {location!r} ({in_one_line(error)[:200]}): give a name of the "
            "hub that is in its cache or can be fetched, or a folder of save_to_disk"
        ) from None
    return loaded if isinstance(loaded, dict) else {"train": loaded}
