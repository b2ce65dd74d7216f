# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a corpus source yields: one record a sentence, and the split by hash."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Record:
    """One sentence of a source, or one that it skipped and why.

    `place` names where it stands, for messages: "train.txt line 17".
    """

    split: SplitName
    text: str
    place: str
    columns: dict[str, str] = field(default_factory=dict)
    skipped: Literal["blank", "duplicate"] | None = None


class Source(Protocol):
    """A place that sentences come from.

    `records` may be called several times and streams; `digest` identifies the content and every
    option of the source, and costs far less than tokenising.
    """

    name: str

    def digest(self) -> str: ...

    def records(self) -> Iterator[Record]: ...


def text_hash(text: str, salt: str) -> float:
    """Return a number in [0, 1) that depends on the text and the salt alone."""
    digest = hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()
    )
    return int.from_bytes(digest.digest(), "big") / 2**64


def split_by_hash(text: str) -> SplitName:
    """Assign a sentence to train, valid or test (90/5/5) by its text: duplicates stay together."""
    position = text_hash(text, "split")
    return "train" if position < 0.9 else "valid" if position < 0.95 else "test"


def content_digest(*parts: str | bytes) -> str:
    """Return the hash of the parts, each set apart by its length."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
