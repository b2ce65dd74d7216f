# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is counted of a split while it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass
class RawCounts:
    """Words, set apart by whitespace, and characters of the raw text of one split's sentences."""

    words: int = 0
    characters: int = 0
    in_other_splits: int = 0
    repeated: int = 0
    """Sentences that came before in the same split."""

    def count(self, texts: Sequence[str]) -> None:
        """Count one sentence, or those of a document."""
        self.words += sum(len(text.split()) for text in texts)
        self.characters += sum(map(len, texts))

    def add(self, other: RawCounts) -> None:
        """Count what another has counted too."""
        _add(self, other)


@dataclass
class SplitCounts:
    """What became of the lines of one split; of what is not there, nothing is counted."""

    sentences: int = 0
    tokens: int = 0
    dropped_too_long: int = 0
    truncated: int = 0
    unknown_tokens: int = 0
    blank_lines_skipped: int = 0
    duplicates_removed: int = 0
    source_tokens: int | None = None
    unknown_source_tokens: int = 0
    copied_unknown_tokens: int | None = None
    dropped_source_too_long: int | None = None
    sources_truncated: int | None = None
    empty_pairs_dropped: int | None = None
    documents: int | None = None
    dropped_too_many_sentences: int | None = None
    documents_cut: int | None = None
    labelled: int | None = None

    def add(self, other: SplitCounts) -> None:
        """Count what another has counted too."""
        _add(self, other)

    def summary(self) -> dict[str, int | float]:
        """The counts, fit for JSON, with shares of unknown tokens instead of their numbers."""
        counts: dict[str, int | float] = {k: v for k, v in asdict(self).items() if v is not None}
        unknown = counts.pop("unknown_source_tokens")
        counts["unknown_token_share"] = _share(
            counts.pop("unknown_tokens"), self.tokens - self.sentences
        )
        if self.source_tokens is not None:
            words = self.source_tokens - self.sentences
            counts["unknown_source_token_share"] = _share(unknown, words)
        return counts


def _add(counts: Any, others: Any) -> None:
    """Sums of all numbers; of one that was not counted, the other."""
    for field in fields(others):
        more = getattr(others, field.name)
        if more is not None:
            setattr(counts, field.name, (getattr(counts, field.name) or 0) + more)


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
