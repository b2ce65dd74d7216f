# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""From the records of a source to a packed store: vocabulary, then ids, in two streaming passes."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from pyro_textvae import zoo
from pyro_textvae.contract import LABELS, SOURCE, TOKENS
from pyro_textvae.data.array_writer import ArrayWriter
from pyro_textvae.data.copied_words import CopiedWords
from pyro_textvae.data.encoded_chunk import Chunk, EncodedSplit, encode_chunk
from pyro_textvae.data.encoding_options import LONGEST_LINE, EncodingOptions, refuse_long_line
from pyro_textvae.data.label_names import LabelNames
from pyro_textvae.data.longest_document import refuse_a_mix, refuse_long_document
from pyro_textvae.data.longest_text import refuse_long_text
from pyro_textvae.data.process_pool import in_order, num_workers
from pyro_textvae.data.reading_progress import ReadingProgress
from pyro_textvae.data.records import SPLITS, Record, SplitName, content_digest
from pyro_textvae.data.repeated_hashes import num_repeated, num_shared
from pyro_textvae.data.source import Source
from pyro_textvae.data.split_counts import RawCounts, SplitCounts
from pyro_textvae.data.store import CHECKPOINT, TOKENIZER, SplitWriter, id_dtype, seal
from pyro_textvae.data.tokenizer import Tokenizer
from pyro_textvae.data.vocabulary import (
    counts_at_whitespace,
    in_lists,
    tokenizer_of_counts,
    train_tokenizer,
    word_counts,
)
from pyro_textvae.errors import UserError

_CHUNK_RECORDS, _CHUNK_CHARACTERS = 1000, 60_000
_BYTES_FOR_PROCESSES = 2**25
"""Of a source; for less, starting a process takes longer than it saves."""
_SECONDS_BETWEEN_CHECKPOINTS = 10.0


def encode_source(
    source: Source, options: EncodingOptions, vocabulary: list[str] | None, folder: Path, key: str
) -> None:
    """Write tokenizer, ids, labels, columns and counts into a folder, and seal it.

    Vocabulary and labels are those of the train split as read, before ``max_length`` drops
    anything. Of a source with several files, a folder that holds some of them already is gone on
    with.

    :param vocabulary: texts to take the vocabulary from instead.
    :param key: of the cache entry.
    :raises UserError: for a line of over 10,000 tokens without ``max_length``, a document of over
        1,000 sentences without ``max_sentences``, a split left empty, and a label that the train
        split does not have.
    """
    state = _read_checkpoint(folder)
    if state is None:
        for path in folder.iterdir():
            path.unlink()
        tokenizer = _tokenizer_of(source, options, vocabulary)
        tokenizer.save(folder / TOKENIZER)
    elif isinstance(options.tokenizer, Tokenizer):
        tokenizer = options.tokenizer
    else:
        tokenizer = Tokenizer.load(folder / TOKENIZER, options.tokenizer)
    encoding = _Encoding(source, options, tokenizer, folder, state)
    try:
        encoding.read()
        meta = encoding.finish(key)
    except BaseException:
        encoding.abandon()
        raise
    seal(folder, meta)


def _read_checkpoint(folder: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state


def _tokenizer_of(
    source: Source, options: EncodingOptions, vocabulary: list[str] | None
) -> Tokenizer:
    kind = options.tokenizer
    if isinstance(kind, Tokenizer):
        return kind
    sizes: dict[str, Any] = {"min_count": options.min_count, "vocab_size": options.vocab_size}
    if vocabulary is not None:
        return train_tokenizer(vocabulary, kind, **sizes)
    with ReadingProgress(source, "vocabulary") as progress:
        texts = _train_texts(progress.over(_records(source, options)))
        workers = _workers(source, options)
        if workers and counts_at_whitespace(kind):
            parts = in_order(partial(word_counts, kind=kind), in_lists(texts), workers)
            return tokenizer_of_counts((part for _, part in parts), kind, **sizes)
        return train_tokenizer(texts, kind, **sizes)


def _workers(source: Source, options: EncodingOptions) -> int:
    """Processes beside this one that encode; none where that is not worth their start."""
    kind = options.tokenizer
    if isinstance(kind, Tokenizer):
        in_catalogue = kind.kind in zoo.names("tokenizers") and kind.splits_at_whitespace
    else:
        in_catalogue = zoo.name_of("tokenizers", type(kind)) is not None
        in_catalogue = in_catalogue and counts_at_whitespace(kind)
    if options.copy_unknown_words:
        # Words beyond the vocabulary are numbered as they come.
        return 0
    # Hugging Face's own threads serve the other kinds.
    large = getattr(source, "num_bytes", 0) >= _BYTES_FOR_PROCESSES
    return num_workers() if large and in_catalogue else 0


class _Encoding:
    """The second pass: ids, labels and columns of all records, into the files of three splits.

    :param state: of an earlier process, to go on from; None to begin.
    """

    def __init__(
        self,
        source: Source,
        options: EncodingOptions,
        tokenizer: Tokenizer,
        folder: Path,
        state: dict[str, Any] | None,
    ) -> None:
        self._source, self._options, self._folder = source, options, folder
        # Of this store alone: what the process encoded before must not change it.
        self._tokenizer = copy.copy(tokenizer)
        self._tokenizer.copies_unknown_words = options.copy_unknown_words
        self._tokenizer.copied_words = CopiedWords(() if state is None else state["copied_words"])
        self._saved_at = time.monotonic()
        self.labels = LabelNames(options.label_names)
        # How many words there are beyond the vocabulary is known in the end.
        dtype = id_dtype(2**32 if options.copy_unknown_words else len(tokenizer))
        written = {} if state is None else state["writers"]
        self.writers: dict[SplitName, SplitWriter] = {
            split: SplitWriter(folder, split, dtype, written.get(split)) for split in SPLITS
        }
        sizes = {} if state is None else state["hashes"]
        self.hashes = {
            split: ArrayWriter(folder / f"{split}.hashes.npy", np.dtype("<i8"), sizes.get(split, 0))
            for split in SPLITS
        }
        self.counts = {split: SplitCounts() for split in SPLITS}
        self.raw_counts = {split: RawCounts() for split in SPLITS}
        for count in self.counts.values():
            if options.max_source_length is not None:
                count.dropped_source_too_long = count.sources_truncated = 0
            if options.max_sentences is not None:
                count.dropped_too_many_sentences = count.documents_cut = 0
        if state is not None:
            self.labels.restore(state["labels"])
            self.counts = {split: SplitCounts(**state["counts"][split]) for split in SPLITS}
            self.raw_counts = {split: RawCounts(**state["raw_counts"][split]) for split in SPLITS}
            source.go_on(state["source"])  # type: ignore[attr-defined]

    def read(self) -> None:
        """Encode all records."""
        options = self._options
        workers = _workers(self._source, options)
        encode: Any = partial(encode_chunk, tokenizer=self._tokenizer, options=options)
        if workers:
            path = str(self._folder / TOKENIZER)
            encode = partial(_encode_elsewhere, path=path, options=options)
        has_documents = None
        if self.writers["train"].tokens.num_rows:
            has_documents = self.writers["train"].documents is not None
        with ReadingProgress(self._source, "packing") as progress:
            records = progress.over(_records(self._source, options, has_documents))
            parts = in_order(encode, self._parts(records), workers, sent=_Part.texts)
            for part, (kept, encoded) in parts:
                self._write(part, kept, encoded)
                if part.state is not None:
                    self._save(part.state)

    def _parts(self, records: Iterator[Record]) -> Iterator[_Part]:
        """The records in parts, none of which is of two files."""
        source, part, characters = self._source, _Part(), 0
        files_read = getattr(source, "files_read", 0)
        for record in records:
            if getattr(source, "files_read", 0) != files_read:
                part.state = source.state()  # type: ignore[attr-defined]
                yield part
                part, characters = _Part(), 0
                files_read = source.files_read  # type: ignore[attr-defined]
            part.add(record)
            characters += len(record.text) + len(record.source or "")
            if len(part.records) == _CHUNK_RECORDS or characters > _CHUNK_CHARACTERS:
                yield part
                part, characters = _Part(), 0
        yield part

    def _write(self, part: _Part, kept: list[bool], encoded: dict[Any, EncodedSplit]) -> None:
        beside: dict[Any, tuple[list[int], list[dict[str, str]]]]
        beside = {split: ([], []) for split in SPLITS}
        if part.records and part.records[0].sentences is not None:
            for writer in self.writers.values():
                writer.start_documents()
        for record, is_kept in zip(part.records, kept, strict=True):
            if is_kept:
                labels, columns = beside[record.split]
                labels.append(self.labels.index(record))
                columns.append(record.columns)
            elif record.split == "train":
                self.labels.index(record)
        for split, count in part.skipped.items():
            self.counts[split].add(count)
        for split in SPLITS:
            labels, columns = beside[split]
            encoded[split].write(self.writers[split])
            self.writers[split].append_beside(labels, columns)
            self.hashes[split].append(encoded[split].hashes)
            self.counts[split].add(encoded[split].counts)
            self.raw_counts[split].add(encoded[split].raw_counts)

    def _save(self, of_source: dict[str, Any]) -> None:
        """Note how far this is, so that another process goes on from here."""
        now = time.monotonic()
        if now - self._saved_at < _SECONDS_BETWEEN_CHECKPOINTS:
            return
        self._saved_at = now
        for hashes in self.hashes.values():
            hashes.flush()
        state = {
            "source": of_source,
            "writers": {split: writer.state() for split, writer in self.writers.items()},
            "hashes": {split: hashes.size for split, hashes in self.hashes.items()},
            "counts": {split: asdict(count) for split, count in self.counts.items()},
            "raw_counts": {split: asdict(count) for split, count in self.raw_counts.items()},
            "labels": self.labels.state(),
            "copied_words": list(self._tokenizer.copied_words),
        }
        unfinished = self._folder / f".{CHECKPOINT}"
        unfinished.write_text(json.dumps(state), encoding="utf-8")
        unfinished.replace(self._folder / CHECKPOINT)

    def finish(self, key: str) -> dict[str, Any]:
        """Complete the files; returns the description of the entry."""
        writers, counts = self.writers, self.counts
        for split in SPLITS:
            _count(writers[split], counts[split])
        _refuse_empty_split(self._source, counts, self._options)
        names = self.labels.names(self._options.label_column)
        self._count_repeated()
        (self._folder / CHECKPOINT).unlink(missing_ok=True)
        has_source = any(writer.source is not None for writer in writers.values())
        if has_source:
            for writer in writers.values():
                writer.start_source()
        order = None if names is None else self.labels.order(names)
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
            "warnings": list(getattr(self._source, "warnings", ())),
            "raw_counts": {split: asdict(self.raw_counts[split]) for split in SPLITS},
            "columns": {split: list(writers[split].column_names) for split in SPLITS},
        }
        if names is None:
            for split in SPLITS:
                meta["counts"][split].pop("labelled")
        if writers["train"].documents is not None:
            meta["documents"] = True
        if self._options.copy_unknown_words:
            words = self._tokenizer.copied_words
            words.save(self._folder)
            meta["digests"] = [*meta["digests"], content_digest(*words)]
        return meta

    def _count_repeated(self) -> None:
        arrays: dict[SplitName, np.ndarray] = {}
        for split, writer in self.hashes.items():
            writer.close()
            # In its file, as large as it may be, and in place.
            arrays[split] = np.load(writer.path, mmap_mode="r+" if writer.size else None)
            arrays[split].sort()
        for split in SPLITS:
            others = [arrays[other] for other in SPLITS if other != split]
            self.raw_counts[split].in_other_splits = num_shared(arrays[split], others)
            self.raw_counts[split].repeated = num_repeated(arrays[split])
        for writer in self.hashes.values():
            writer.path.unlink()

    def abandon(self) -> None:
        """Close the files as they are."""
        for split in SPLITS:
            self.writers[split].abandon()
            self.hashes[split].abandon()


@dataclass
class _Part:
    """Some records of one file, the ones that it skipped, and the state of the source after it."""

    records: list[Record] = field(default_factory=list)
    skipped: dict[SplitName, SplitCounts] = field(default_factory=dict)
    state: dict[str, Any] | None = None

    def add(self, record: Record) -> None:
        """Take a record, or count one that the source skipped."""
        if record.skipped is None:
            self.records.append(record)
            return
        count = self.skipped.setdefault(record.split, SplitCounts())
        if record.skipped == "blank":
            count.blank_lines_skipped += 1
        elif record.skipped == "empty_pair":
            count.empty_pairs_dropped = (count.empty_pairs_dropped or 0) + 1
        else:
            count.duplicates_removed += 1

    def texts(self) -> Chunk:
        """What is encoded of it."""
        return Chunk.of(self.records)


def _encode_elsewhere(
    chunk: Chunk, path: str, options: EncodingOptions
) -> tuple[list[bool], dict[SplitName, EncodedSplit]]:
    """As :func:`encode_chunk`, in a process that has a tokenizer's file alone."""
    return encode_chunk(chunk, _tokenizer_in(path), options)


@cache
def _tokenizer_in(path: str) -> Tokenizer:
    return Tokenizer.load(path)


def _count(writer: SplitWriter, counts: SplitCounts) -> None:
    counts.sentences = writer.tokens.num_rows
    counts.tokens = writer.tokens.num_ids
    counts.source_tokens = None if writer.source is None else writer.source.num_ids
    counts.labelled = writer.num_labelled
    counts.documents = None if writer.documents is None else writer.documents.size - 1


def _records(
    source: Source, options: EncodingOptions, has_documents: bool | None = None
) -> Iterator[Record]:
    """The records of a source; a line of far too many tokens is refused as it is read.

    Counting them by encoding takes minutes and gigabytes.
    """
    for record in source.records():
        if record.skipped is None:
            if has_documents is None:
                has_documents = record.sentences is not None
            refuse_a_mix(record, has_documents)
            refuse_long_document(record, options.max_sentences)
        refuse_long_text(record)
        for text in record.texts:
            if options.max_length is None and len(text) > LONGEST_LINE:
                refuse_long_line(record.place, options.fewest_tokens(text), options)
        text = record.source or ""
        if options.source_limit is None and len(text) > LONGEST_LINE:
            refuse_long_line(record.place, options.fewest_tokens(text), options)
        yield record


def _train_texts(records: Iterator[Record]) -> Iterator[str]:
    for record in records:
        if record.split == "train" and record.skipped is None:
            yield from record.texts
            if record.source is not None:
                yield record.source


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
