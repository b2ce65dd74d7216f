# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tokens of corpora as they were published, beside those of the files that are here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_textvae import zoo
from pyro_textvae.data.corpus_files import corpus_files
from pyro_textvae.data.data_file import DataFile, format_of
from pyro_textvae.data.file_format import ColumnNames, FileFormat
from pyro_textvae.data.preparation.prepare import as_table
from pyro_textvae.data.records import SPLITS
from pyro_textvae.errors import UserError

_WIKITEXT = "tokens between whitespace and one <eos> a line, headings and blank lines too"
PUBLISHED: dict[str, tuple[str, dict[str, int]]] = {
    "ptb": (
        "tokens between whitespace and one <eos> a sentence",
        {"train": 929_589, "valid": 73_760, "test": 82_430},
    ),
    "wikitext-2": (_WIKITEXT, {"train": 2_088_628, "valid": 217_646, "test": 245_569}),
    "wikitext-103": (_WIKITEXT, {"train": 103_227_021, "valid": 217_646, "test": 245_569}),
}
"""How tokens are counted, and how many each split has.

Source: Mikolov et al. 2010, https://www.fit.vutbr.cz/~imikolov/rnnlm; Merity et al. 2016,
https://arxiv.org/abs/1609.07843.
"""


@dataclass
class CheckedCounts:
    """The tokens of each split of a corpus, published and counted here."""

    name: str
    convention: str
    published: dict[str, int]
    counted: dict[str, int]

    @property
    def agree(self) -> bool:
        """Whether all splits have as many tokens as was published."""
        return self.published == self.counted

    def to_dict(self) -> dict[str, Any]:
        """Both counts of each split, fit for JSON."""
        return {
            "corpus": self.name,
            "convention": self.convention,
            "splits": {
                split: {"published": self.published[split], "counted": self.counted[split]}
                for split in SPLITS
            },
            "agree": self.agree,
        }

    def __str__(self) -> str:
        rows = [[self.name, "published", "counted", "same"]]
        for split in SPLITS:
            published, counted = self.published[split], self.counted[split]
            same = "yes" if published == counted else "no"
            rows.append([split, f"{published:,}", f"{counted:,}", same])
        return f"{as_table(rows)}\ncounted: {self.convention}"


def check_counts(name: str, source: str | os.PathLike[str]) -> CheckedCounts:
    """Count the tokens of a corpus as it was done where it was published.

    :param name: a key of :data:`PUBLISHED`.
    :param source: a folder with its train, valid and test.
    :raises UserError: for another name, and where there is no such folder.
    """
    if name not in PUBLISHED:
        raise UserError(f"check={name!r} must be one of {', '.join(PUBLISHED)}")
    convention, published = PUBLISHED[name]
    files = corpus_files(Path(source).expanduser(), None, "the folder of a corpus")
    counted: dict[str, int] = dict.fromkeys(SPLITS, 0)
    for path, split in files.items():
        if split is None:
            raise UserError(f"{str(source)!r} has no splits: give the folder of train, valid, test")
        columns = ColumnNames(str(source))
        opened: FileFormat = zoo.load("formats", format_of(path)[1:])(columns, lambda text: None)
        for row in opened.rows(DataFile(path)):
            if row.text.strip() or name != "ptb":
                counted[split] += len(row.text.split()) + 1
    return CheckedCounts(name, convention, published, counted)
