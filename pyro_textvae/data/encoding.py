# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""From the records of a source to a packed store: vocabulary, then ids, in two streaming passes."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyro_textvae.data.records import SPLITS, Record, Source
from pyro_textvae.data.store import FORMAT_VERSION, TOKENIZER, SplitWriter, id_dtype, seal
from pyro_textvae.data.tokenizer import Tokenizer, TokenizerKind
from pyro_textvae.data.vocabulary import train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import EOS, UNK

# A longer line is more often a file without line ends than a sentence.
LONGEST_LINE = 10_000
_CHUNK_RECORDS, _CHUNK_CHARACTERS = 1000, 200_000


@dataclass(frozen=True)
class EncodingOptions:
    """How text becomes rows; all of it is part of the cache key."""

    tokenizer: TokenizerKind | Tokenizer
    max_length: int | None
    truncate: bool
    min_count: int
    vocab_size: int | None

    def key_parts(self) -> list[str]:
        tokenizer = self.tokenizer
        named = tokenizer.fingerprint if isinstance(tokenizer, Tokenizer) else tokenizer
        sizes = (self.max_length, self.truncate, self.min_count, self.vocab_size)
        return [str(FORMAT_VERSION), named, repr(sizes)]


@dataclass
class SplitCounts:
    """What became of the lines of one split."""

    sentences: int = 0
    tokens: int = 0
    dropped_too_long: int = 0
    truncated: int = 0
    unknown_tokens: int = 0
    blank_lines_skipped: int = 0
    duplicates_removed: int = 0

    def summary(self) -> dict[str, int | float]:
        counts: dict[str, int | float] = asdict(self)
        words = self.tokens - self.sentences
        counts["unknown_token_share"] = counts.pop("unknown_tokens") / words if words else 0.0
        return counts


def encode_source(
    source: Source, options: EncodingOptions, vocabulary: list[str] | None, folder: Path, key: str
) -> None:
    """Write tokenizer, ids, columns and counts of a source into an empty folder, and seal it.

    The vocabulary is that of the train split as read, before `max_length` drops anything, unless
    the texts to take it from are given. Raises `UserError` for a line of over 10,000 tokens without
    `max_length`, and for a split left empty.
    """
    tokenizer = options.tokenizer
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = train_tokenizer(
            vocabulary if vocabulary is not None else _train_texts(source),
            tokenizer,
            min_count=options.min_count,
            vocab_size=options.vocab_size,
        )
    tokenizer.save(folder / TOKENIZER)
    dtype = id_dtype(len(tokenizer))
    writers = {split: SplitWriter(folder, split, dtype) for split in SPLITS}
    counts = {split: SplitCounts() for split in SPLITS}
    try:
        for records in _chunks(source.records(), counts):
            encoded = tokenizer.encode_batch([record.text for record in records])
            for record, ids in zip(records, encoded, strict=True):
                row = _row(record, ids, options, counts[record.split])
                if row is not None:
                    writers[record.split].append(row, record.columns)
    finally:
        digests = [writers[split].close() for split in SPLITS]
    for split in SPLITS:
        counts[split].sentences = writers[split].num_sentences
        counts[split].tokens = writers[split].num_tokens
    _refuse_empty_split(source, counts, options)
    meta: dict[str, Any] = {
        "key": key,
        "digests": digests,
        "counts": {split: counts[split].summary() for split in SPLITS},
        "columns": {split: list(writers[split].column_names) for split in SPLITS},
    }
    seal(folder, meta)


def _train_texts(source: Source) -> Iterator[str]:
    for record in source.records():
        if record.split == "train" and record.skipped is None:
            yield record.text


def _chunks(records: Iterator[Record], counts: dict[Any, SplitCounts]) -> Iterator[list[Record]]:
    """Group the sentences for encoding at one go, counting those that the source skipped."""
    chunk: list[Record] = []
    characters = 0
    for record in records:
        if record.skipped is None:
            chunk.append(record)
            characters += len(record.text)
        elif record.skipped == "blank":
            counts[record.split].blank_lines_skipped += 1
        else:
            counts[record.split].duplicates_removed += 1
        if len(chunk) == _CHUNK_RECORDS or characters > _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _row(
    record: Record, ids: np.ndarray, options: EncodingOptions, counts: SplitCounts
) -> np.ndarray | None:
    if options.max_length is None:
        if len(ids) > LONGEST_LINE:
            raise UserError(
                f"{record.place} has {len(ids):,} tokens, over {LONGEST_LINE:,}; set max_length to"
                " drop such lines, and truncate=True to cut them instead"
            )
    elif len(ids) + 1 > options.max_length:
        if not options.truncate:
            counts.dropped_too_long += 1
            return None
        counts.truncated += 1
        ids = ids[: options.max_length - 1]
    counts.unknown_tokens += int((ids == UNK).sum())
    return np.append(ids, EOS)


def _refuse_empty_split(
    source: Source, counts: dict[Any, SplitCounts], options: EncodingOptions
) -> None:
    for split in SPLITS:
        if counts[split].sentences:
            continue
        if dropped := counts[split].dropped_too_long:
            raise UserError(
                f"max_length={options.max_length} drops all {dropped} sentences of the {split}"
                f" split of {source.name}; raise it or set truncate=True"
            )
        total = sum(count.sentences + count.dropped_too_long for count in counts.values())
        raise UserError(
            f"the {split} split of {source.name} is empty: {total} sentences are too few to split"
            " 90/5/5; give more, or a folder with train, valid and test files"
        )
