# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Some sentences of a source as ids, which can be made in any process."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pyro_textvae.data.encoding_options import EncodingOptions, refuse_long_line
from pyro_textvae.data.records import SPLITS, Record, SplitName
from pyro_textvae.data.split_counts import RawCounts, SplitCounts
from pyro_textvae.data.store import SplitWriter
from pyro_textvae.data.tokenizer import Tokenizer
from pyro_textvae.data.unicode_form import UnicodeForm, normalised
from pyro_textvae.special_tokens import EOS, UNK


@dataclass
class Chunk:
    """What is to be encoded of some records, each list with an entry for each of them."""

    splits: list[SplitName] = field(default_factory=list)
    texts: list[tuple[str, ...]] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, records: Sequence[Record]) -> Chunk:
        """What is encoded of these."""
        return cls(
            [record.split for record in records],
            [record.texts for record in records],
            [record.source for record in records],
            [record.place for record in records],
        )


@dataclass
class EncodedSplit:
    """The sentences of one split in a chunk: ids end to end, and what was counted."""

    ids: array[int] = field(default_factory=lambda: array("I"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    sentences: array[int] = field(default_factory=lambda: array("I"))
    source_ids: array[int] = field(default_factory=lambda: array("I"))
    source_lengths: array[int] = field(default_factory=lambda: array("I"))
    hashes: array[int] = field(default_factory=lambda: array("q"))
    """Of each datum: equal where text and source are equal to their reader."""
    counts: SplitCounts = field(default_factory=SplitCounts)
    raw_counts: RawCounts = field(default_factory=RawCounts)

    def write(self, writer: SplitWriter) -> None:
        """Write the ids, those of the sources and the bounds of documents."""
        if writer.documents is not None:
            first = writer.tokens.num_rows
            writer.documents.append(first + np.cumsum(self.sentences, dtype=np.int64))
        writer.tokens.extend(self.ids, self.lengths)
        if self.source_lengths:
            writer.start_source().extend(self.source_ids, self.source_lengths)


def encode_chunk(
    chunk: Chunk, tokenizer: Tokenizer, options: EncodingOptions
) -> tuple[list[bool], dict[SplitName, EncodedSplit]]:
    """Which of the records are kept, and each split's ids.

    :raises UserError: for a line of over 10,000 tokens without ``max_length``.
    """
    encoded: dict[SplitName, EncodedSplit] = {split: EncodedSplit() for split in SPLITS}
    texts_of_all, sources = _encoded(chunk, tokenizer)
    of_all = iter(texts_of_all)
    kept = []
    for number, texts in enumerate(chunk.texts):
        split = encoded[chunk.splits[number]]
        ids = [next(of_all) for _ in texts]
        place = chunk.places[number]
        rows = _rows(place, ids, sources[number], options, split.counts)
        kept.append(rows is not None)
        if rows is None:
            continue
        tokens, source_tokens = rows
        if source_tokens is not None and options.copy_unknown_words:
            # Of a source that was cut, what is left.
            tokens = [_copied(row, source_tokens, tokenizer, split.counts) for row in tokens]
        for row in tokens:
            split.counts.unknown_tokens += row.count(UNK)
            row.append(EOS)
            split.ids.extend(row)
            split.lengths.append(len(row))
        split.sentences.append(len(tokens))
        if source_tokens is not None:
            split.counts.unknown_source_tokens += source_tokens.count(UNK)
            if options.copy_unknown_words:
                beyond = int((np.asarray(source_tokens) >= len(tokenizer)).sum())
                split.counts.unknown_source_tokens += beyond
            source_tokens.append(EOS)
            split.source_ids.extend(source_tokens)
            split.source_lengths.append(len(source_tokens))
        split.raw_counts.count(texts)
        split.hashes.append(_hash(texts, chunk.sources[number], tokenizer.unicode_form))
    return kept, encoded


def _encoded(
    chunk: Chunk, tokenizer: Tokenizer
) -> tuple[list[list[int]], Sequence[list[int] | None]]:
    """The ids of all texts, and of the source of each datum, which has None without one."""
    texts = [text for of_datum in chunk.texts for text in of_datum]
    if not chunk.sources or chunk.sources[0] is None:
        return tokenizer.encode_lists(texts), [None] * len(chunk.texts)
    given = [source or "" for source in chunk.sources]
    if not tokenizer.copies_unknown_words:
        return tokenizer.encode_lists(texts), tokenizer.encode_lists(given)
    sources = [row.tolist() for row in tokenizer.encode_sources(given)]
    lengths = map(len, chunk.texts)
    beside = [row for row, count in zip(sources, lengths, strict=True) for _ in range(count)]
    return [row.tolist() for row in tokenizer.encode_given(texts, beside)], sources


def _copied(
    ids: list[int], source: list[int], tokenizer: Tokenizer, counts: SplitCounts
) -> list[int]:
    """The ids with ``<unk>`` for words that the source does not have; counts those that it has."""
    row = tokenizer.copied_from(np.asarray(ids, dtype=np.int64), source)
    copied = int((row >= len(tokenizer)).sum())
    counts.copied_unknown_tokens = (counts.copied_unknown_tokens or 0) + copied
    return row.tolist()


def _hash(texts: tuple[str, ...], source: str | None, form: UnicodeForm) -> int:
    """Equal for sentences that are one to their reader, whatever their code points."""
    whole = "\0".join((normalised("\n".join(texts), form), normalised(source or "", form)))
    digest = hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)


def _rows(
    place: str,
    texts: list[list[int]],
    source_ids: list[int] | None,
    options: EncodingOptions,
    counts: SplitCounts,
) -> tuple[list[list[int]], list[int] | None] | None:
    """The rows of text and source without their ``<eos>``; None where the datum is dropped."""
    if options.max_sentences is not None and len(texts) > options.max_sentences:
        if not options.truncate:
            counts.dropped_too_many_sentences = (counts.dropped_too_many_sentences or 0) + 1
            return None
        counts.documents_cut = (counts.documents_cut or 0) + 1
        texts = texts[: options.max_sentences]
    of_text = max(map(len, texts))
    of_source = 0 if source_ids is None else len(source_ids)
    # Of a length of its own, a source is counted apart.
    apart = options.max_source_length is not None
    longest = of_text if apart else max(of_text, of_source)
    if options.max_length is None:
        refuse_long_line(place, longest, options)
    elif longest + 1 > options.max_length:
        if not options.truncate:
            counts.dropped_too_long += 1
            return None
        counts.truncated += 1
        texts = [ids[: options.max_length - 1] for ids in texts]
    limit = options.source_limit
    if source_ids is not None and limit is not None and of_source + 1 > limit:
        if apart and not options.truncate:
            counts.dropped_source_too_long = (counts.dropped_source_too_long or 0) + 1
            return None
        if apart:
            counts.sources_truncated = (counts.sources_truncated or 0) + 1
        source_ids = source_ids[: limit - 1]
    return texts, source_ids
