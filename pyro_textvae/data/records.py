# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a corpus source yields: one record a sentence, and the split by hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Record:
    """One sentence of a source, or one that it skipped and why.

    >>> Record("train", "the cat sat", "pets.txt line 7", label="cat").split
    'train'

    :param split: train, valid or test.
    :param text: the sentence, as the tokenizer takes it.
    :param place: where it stands, for messages: ``"train.txt line 17"``.
    :param source: the text that it is conditioned on; of every record of a source, or of none.
    :param label: the name of its label; None where it is not given.
    :param columns: further columns, kept beside the ids.
    :param sentences: those of a document, whose text is them with a line end between; of every
        record of a source, or of none.
    :param skipped: why the sentence is not in the corpus; None where it is. ``empty_pair`` is one
        that lacks its text or its source.
    """

    split: SplitName
    text: str
    place: str
    source: str | None = None
    label: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    skipped: Literal["blank", "duplicate", "empty_pair"] | None = None
    sentences: tuple[str, ...] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """What becomes one row of ids each: the sentences of a document, or the text."""
        return (self.text,) if self.sentences is None else self.sentences


def text_hash(text: str, salt: str) -> float:
    """A number in [0, 1) that depends on the text and the salt alone."""
    digest = hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()
    )
    return int.from_bytes(digest.digest(), "big") / 2**64


def split_by_hash(text: str) -> SplitName:
    """Train, valid or test (90/5/5) by the text of a sentence: duplicates stay together.

    >>> split_by_hash("the cat sat on the mat")
    'train'
    """
    position = text_hash(text, "split")
    return "train" if position < 0.9 else "valid" if position < 0.95 else "test"


def content_digest(*parts: str | bytes) -> str:
    """The hash of the parts, each set apart by its length."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
