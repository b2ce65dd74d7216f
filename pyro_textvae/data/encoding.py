# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""From the records of a source to a packed store: vocabulary, then ids, in two streaming passes."""

from __future__ import annotations

import copy
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pyro_textvae import zoo
from pyro_textvae.contract import LABELS, SOURCE, TOKENS
from pyro_textvae.data.copied_words import CopiedWords
from pyro_textvae.data.label_names import LabelNames
from pyro_textvae.data.longest_document import refuse_a_mix, refuse_long_document
from pyro_textvae.data.longest_text import refuse_long_text
from pyro_textvae.data.records import SPLITS, Record, content_digest
from pyro_textvae.data.source import Source
from pyro_textvae.data.store import FORMAT_VERSION, TOKENIZER, SplitWriter, id_dtype, seal
from pyro_textvae.data.tokenizer import Tokenizer, fewest_tokens
from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.data.unicode_form import normalised
from pyro_textvae.data.vocabulary import train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import EOS, UNK

# A longer line is more often a file without line ends than a sentence.
LONGEST_LINE = 10_000
_CHUNK_RECORDS, _CHUNK_CHARACTERS = 1000, 200_000


@dataclass(frozen=True)
class EncodingOptions:
    """How text becomes rows; all of it is part of the cache key.

    :param tokenizer: one to use as it is, or the kind to train, in its normal form of Unicode.
    :param max_length: longest row of text or source, ``<eos>`` included.
    :param max_source_length: longest row of source, where it is another.
    :param max_sentences: most sentences of a document.
    :param copy_unknown_words: keep the words of sources that are outside the vocabulary.
    :param truncate: cut longer rows instead of dropping the sentence.
    :param min_count: least frequency of a token.
    :param vocab_size: most entries of the vocabulary.
    :param label_column: where labels stand, for messages; None where the source decides.
    :param label_names: the labels in the order of their indices; by default those of train, sorted.
    """

    tokenizer: TokenizerKind | Tokenizer
    max_length: int | None
    truncate: bool
    min_count: int
    vocab_size: int | None
    label_column: str | None = None
    label_names: tuple[str, ...] | None = None
    max_source_length: int | None = None
    max_sentences: int | None = None
    copy_unknown_words: bool = False

    @property
    def source_limit(self) -> int | None:
        """Longest row of source, ``<eos>`` included."""
        return self.max_length if self.max_source_length is None else self.max_source_length

    def key_parts(self) -> list[str]:
        """What the cache key is made of."""
        sizes: tuple[Any, ...]
        sizes = (self.max_length, self.truncate, self.min_count, self.vocab_size)
        if self.max_source_length is not None:
            sizes += (self.max_source_length,)
        if self.max_sentences is not None:
            sizes += (f"{self.max_sentences} sentences",)
        if self.copy_unknown_words:
            sizes += ("unknown words are copied",)
        labels = (self.label_column, self.label_names)
        return [str(FORMAT_VERSION), self._tokenizer_key(), repr(sizes), repr(labels)]

    def _tokenizer_key(self) -> str:
        if isinstance(self.tokenizer, Tokenizer):
            return self.tokenizer.fingerprint
        kind = type(self.tokenizer)
        name = zoo.name_of("tokenizers", kind) or zoo.digest_of(kind)
        return f"{name}{self.tokenizer.content_digest} {self.tokenizer.unicode_form}"

    def fewest_tokens(self, text: str) -> int:
        """A number of tokens that a text has at least, at the cost of a look at it."""
        if isinstance(self.tokenizer, Tokenizer):
            return self.tokenizer.fewest_tokens(text)
        return fewest_tokens(text, self.tokenizer)


@dataclass
class RawCounts:
    """Words, set apart by whitespace, and characters of the raw text of one split's sentences."""

    words: int = 0
    characters: int = 0
    in_other_splits: int = 0

    def add(self, texts: Sequence[str]) -> None:
        """Count one sentence, or those of a document."""
        self.words += sum(len(text.split()) for text in texts)
        self.characters += sum(map(len, texts))


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


def encode_source(
    source: Source, options: EncodingOptions, vocabulary: list[str] | None, folder: Path, key: str
) -> None:
    """Write tokenizer, ids, labels, columns and counts into an empty folder, and seal it.

    Vocabulary and labels are those of the train split as read, before ``max_length`` drops
    anything.

    :param vocabulary: texts to take the vocabulary from instead.
    :param key: of the cache entry.
    :raises UserError: for a line of over 10,000 tokens without ``max_length``, a document of over
        1,000 sentences without ``max_sentences``, a split left empty, and a label that the train
        split does not have.
    """
    tokenizer = options.tokenizer
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = train_tokenizer(
            vocabulary if vocabulary is not None else _train_texts(source, options),
            tokenizer,
            min_count=options.min_count,
            vocab_size=options.vocab_size,
        )
    tokenizer.save(folder / TOKENIZER)
    # Of this store alone: what the process encoded before must not change it.
    tokenizer = copy.copy(tokenizer)
    tokenizer.copies_unknown_words = options.copy_unknown_words
    tokenizer.copied_words = CopiedWords()
    # How many words there are beyond the vocabulary is known in the end.
    dtype = id_dtype(2**32 if options.copy_unknown_words else len(tokenizer))
    writers = {split: SplitWriter(folder, split, dtype) for split in SPLITS}
    counts = {split: SplitCounts() for split in SPLITS}
    if options.max_source_length is not None:
        for count in counts.values():
            count.dropped_source_too_long = count.sources_truncated = 0
    if options.max_sentences is not None:
        for count in counts.values():
            count.dropped_too_many_sentences = count.documents_cut = 0
    raw_counts = {split: RawCounts() for split in SPLITS}
    hashes = {split: array("q") for split in SPLITS}
    labels = LabelNames(options.label_names)
    try:
        for records in _chunks(_records(source, options), counts):
            if records[0].sentences is not None:
                for writer in writers.values():
                    writer.start_documents()
            _encode_chunk(records, tokenizer, options, writers, counts, raw_counts, hashes, labels)
        for split in SPLITS:
            _count(writers[split], counts[split])
        _refuse_empty_split(source, counts, options)
        names = labels.names(options.label_column)
    except BaseException:
        for writer in writers.values():
            writer.abandon()
        raise
    for split in SPLITS:
        raw_counts[split].in_other_splits = _num_shared(split, hashes)
    has_source = any(writer.source is not None for writer in writers.values())
    if has_source:
        for writer in writers.values():
            writer.start_source()
    order = None if names is None else labels.order(names)
    digests = [writers[split].close(order) for split in SPLITS]
    meta: dict[str, Any] = {
        "key": key,
        "digests": digests if names is None else [*digests, content_digest(*names)],
        "fields": [
            TOKENS,
            *([SOURCE] if has_source else []),
            *([LABELS] if names is not None else []),
        ],
        "label_names": names,
        "counts": {split: counts[split].summary() for split in SPLITS},
        "warnings": list(getattr(source, "warnings", ())),
        "raw_counts": {split: asdict(raw_counts[split]) for split in SPLITS},
        "columns": {split: list(writers[split].column_names) for split in SPLITS},
    }
    if names is None:
        for split in SPLITS:
            meta["counts"][split].pop("labelled")
    if writers["train"].documents is not None:
        meta["documents"] = True
    if options.copy_unknown_words:
        tokenizer.copied_words.save(folder)
        meta["digests"] = [*meta["digests"], content_digest(*tokenizer.copied_words)]
    seal(folder, meta)


def _encode_chunk(
    records: Sequence[Record],
    tokenizer: Tokenizer,
    options: EncodingOptions,
    writers: dict[Any, SplitWriter],
    counts: dict[Any, SplitCounts],
    raw_counts: dict[Any, RawCounts],
    hashes: dict[Any, array[int]],
    labels: LabelNames,
) -> None:
    every = [text for record in records for text in record.texts]
    sources: Sequence[np.ndarray | None] = [None] * len(records)
    if records[0].source is None:
        of_all = iter(tokenizer.encode_batch(every))
    else:
        rows_of_sources = tokenizer.encode_sources([record.source or "" for record in records])
        given = zip(records, rows_of_sources, strict=True)
        beside = [row for record, row in given for _ in record.texts]
        of_all, sources = iter(tokenizer.encode_given(every, beside)), rows_of_sources
    texts = [list(islice(of_all, len(record.texts))) for record in records]
    for record, of_record, source_ids in zip(records, texts, sources, strict=True):
        count = counts[record.split]
        rows = _rows(record, of_record, source_ids, options, count)
        if rows is None:
            if record.split == "train":
                labels.index(record)
            continue
        tokens, source_tokens = rows
        if source_tokens is not None and tokenizer.copies_unknown_words:
            # Of a source that was cut, what is left.
            tokens = [tokenizer.copied_from(row, source_tokens) for row in tokens]
            copied = sum(int((row >= len(tokenizer)).sum()) for row in tokens)
            count.copied_unknown_tokens = (count.copied_unknown_tokens or 0) + copied
            count.unknown_source_tokens += int((source_tokens >= len(tokenizer)).sum())
        count.unknown_tokens += sum(int((row == UNK).sum()) for row in tokens)
        if source_tokens is not None:
            count.unknown_source_tokens += int((source_tokens == UNK).sum())
        raw_counts[record.split].add(record.texts)
        hashes[record.split].append(_hash(record, tokenizer))
        label = labels.index(record)
        writers[record.split].append(tokens, source_tokens, label, record.columns)


def _hash(record: Record, tokenizer: Tokenizer) -> int:
    """Equal for sentences that are one to their reader, whatever their code points."""
    texts = (record.text, record.source or "")
    return hash(tuple(normalised(text, tokenizer.unicode_form) for text in texts))


def _num_shared(split: str, hashes: Mapping[Any, array[int]]) -> int:
    """Sentences of a split that stand in another one too, with the same source."""
    if not hashes[split]:
        return 0
    hashes_of_split = np.frombuffer(hashes[split], dtype=np.int64)
    shared = np.zeros(len(hashes_of_split), dtype=bool)
    for name in SPLITS:
        if name == split or not hashes[name]:
            continue
        others = np.frombuffer(hashes[name], dtype=np.int64)
        # In place: a copy of all of them would be as large as the corpus itself.
        others.sort()
        places = others.searchsorted(hashes_of_split)
        places[places == len(others)] = 0
        shared |= others[places] == hashes_of_split
    return int(shared.sum())


def _count(writer: SplitWriter, counts: SplitCounts) -> None:
    counts.sentences = writer.tokens.num_rows
    counts.tokens = writer.tokens.num_ids
    counts.source_tokens = None if writer.source is None else writer.source.num_ids
    counts.labelled = writer.num_labelled
    counts.documents = None if writer.documents is None else len(writer.documents) - 1


def _records(source: Source, options: EncodingOptions) -> Iterator[Record]:
    """The records of a source; a line of far too many tokens is refused as it is read.

    Counting them by encoding takes minutes and gigabytes.
    """
    has_documents: bool | None = None
    for record in source.records():
        if record.skipped is None:
            if has_documents is None:
                has_documents = record.sentences is not None
            refuse_a_mix(record, has_documents)
            refuse_long_document(record, options.max_sentences)
        refuse_long_text(record)
        limited = [(text, options.max_length) for text in record.texts]
        for text, limit in [*limited, (record.source or "", options.source_limit)]:
            if limit is None and len(text) > LONGEST_LINE:
                _refuse_long_line(record, options.fewest_tokens(text), options)
        yield record


def _refuse_long_line(record: Record, num_tokens: int, options: EncodingOptions) -> None:
    if num_tokens > LONGEST_LINE:
        setting = "max_length" if options.max_length is None else "max_source_length"
        raise UserError(
            f"{record.place} has {num_tokens:,} tokens, over {LONGEST_LINE:,}; set {setting} to"
            " drop such lines, and truncate=True to cut them instead"
        )


def _train_texts(source: Source, options: EncodingOptions) -> Iterator[str]:
    for record in _records(source, options):
        if record.split == "train" and record.skipped is None:
            yield from record.texts
            if record.source is not None:
                yield record.source


def _chunks(records: Iterator[Record], counts: dict[Any, SplitCounts]) -> Iterator[list[Record]]:
    """Group the sentences for encoding at one go, counting those that the source skipped."""
    chunk: list[Record] = []
    characters = 0
    for record in records:
        if record.skipped is None:
            chunk.append(record)
            characters += len(record.text) + len(record.source or "")
        elif record.skipped == "blank":
            counts[record.split].blank_lines_skipped += 1
        elif record.skipped == "empty_pair":
            count = counts[record.split]
            count.empty_pairs_dropped = (count.empty_pairs_dropped or 0) + 1
        else:
            counts[record.split].duplicates_removed += 1
        if len(chunk) == _CHUNK_RECORDS or characters > _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _rows(
    record: Record,
    texts: list[np.ndarray],
    source_ids: np.ndarray | None,
    options: EncodingOptions,
    counts: SplitCounts,
) -> tuple[list[np.ndarray], np.ndarray | None] | None:
    """The rows of text and source with their ``<eos>``; None where the datum is dropped."""
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
        _refuse_long_line(record, longest, options)
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
    rows = [np.append(ids, EOS) for ids in texts]
    return rows, None if source_ids is None else np.append(source_ids, EOS)


def _refuse_empty_split(
    source: Source, counts: dict[Any, SplitCounts], options: EncodingOptions
) -> None:
    file_split = getattr(source, "file_split", None)
    what = "sentences" if counts["train"].documents is None else "documents"
    for split in SPLITS:
        if counts[split].sentences or file_split not in (None, split):
            continue
        if dropped := counts[split].dropped_too_long:
            raise UserError(
                f"max_length={options.max_length} drops all {dropped} {what} of the {split}"
                f" split of {source.name}; raise it or set truncate=True"
            )
        if of_documents := counts[split].dropped_too_many_sentences:
            raise UserError(
                f"max_sentences={options.max_sentences} drops all {of_documents} documents of the "
                f"{split} split of {source.name}; raise it or set truncate=True"
            )
        if of_source := counts[split].dropped_source_too_long:
            raise UserError(
                f"max_source_length={options.max_source_length} drops all {of_source} sentences of"
                f" the {split} split of {source.name}; raise it or set truncate=True"
            )
        total = sum(
            (count.sentences if count.documents is None else count.documents)
            + count.dropped_too_long
            + (count.dropped_too_many_sentences or 0)
            for count in counts.values()
        )
        raise UserError(
            f"the {split} split of {source.name} is empty: {total} {what} are too few to split"
            " 90/5/5; give more, or a folder with train, valid and test files"
        )


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
