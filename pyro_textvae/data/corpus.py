# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An encoded corpus: three splits of token ids, their tokenizer, and batches of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from pyro_textvae.contract import LABELS, NOT_GIVEN, SOURCE, TOKENS
from pyro_textvae.data.batching import Batch, plan_batches
from pyro_textvae.data.copied_words import RenamedIds, stored_words
from pyro_textvae.data.document_batches import num_places, plan_document_batches
from pyro_textvae.data.document_rows import DocumentRows
from pyro_textvae.data.fewer_labels import hide_labels
from pyro_textvae.data.languages.grammar import Grammar
from pyro_textvae.data.records import SPLITS, content_digest
from pyro_textvae.data.store import Columns, Rows
from pyro_textvae.data.tokenizer import Tokenizer
from pyro_textvae.data.world import World
from pyro_textvae.displayed import data_frame, table_of
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import UNK

MANY_UNKNOWN = 0.05
"""A share of unknown tokens above which a likelihood is no longer one of the text."""
# Words of text with spaces are shorter on average, and a sentence has more than one.
_LONG_WORD, _FEW_WORDS = 15, 2


class Split(Sequence[Tensor]):
    """The sentences of one split, memory-mapped; ``[i]`` is an int64 row of ids ending in <eos>.

    Of documents, ``[i]`` is ``(S, T)``: one such row a sentence, padded on the right with 0.

    :param folder: the packed store.
    :param name: train, valid or test.
    :param fields: the fields that the store has.
    :param column_names: its further columns.
    :param documents: whether it has documents.
    :param renamed: from the ids that the store has to those of the tokenizer; by default the same.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        fields: Sequence[str],
        column_names: Sequence[str],
        documents: bool = False,
        renamed: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.name = name
        self._renamed = renamed
        self.fields = tuple(fields)
        """Names of the fields of a batch."""
        self._documents = DocumentRows(folder, name) if documents else None
        self._text: dict[str, Rows | DocumentRows]
        self._text = {TOKENS: self._documents or Rows(folder, name)}
        if SOURCE in fields:
            self._text[SOURCE] = Rows(folder, f"{name}.{SOURCE}")
        self.labels: np.ndarray | None = None
        """The index of each sentence's label, -1 where it is not given; None without labels."""
        if LABELS in fields:
            self.labels = np.load(folder / f"{name}.{LABELS}.npy", mmap_mode="r")
        self.columns: Mapping[str, Sequence[str]]
        self.columns = Columns(folder / f"{name}.columns.jsonl", column_names)
        """Columns beside text, source and label: a list of str by name, read when asked for."""
        self._rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._text[TOKENS]) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> Split: ...

    def __getitem__(self, index: int | slice) -> Tensor | Split:
        """Row ``index``, or a split of some rows for a slice; `IndexError` outside the split."""
        if isinstance(index, slice):
            return self._rows_at(np.arange(len(self))[index])
        position = range(len(self))[operator.index(index)]
        if self._rows is not None:
            position = int(self._rows[position])
        return self._with_names(torch.from_numpy(self._text[TOKENS].row(position)))

    def _with_names(self, ids: Tensor) -> Tensor:
        """The ids of the tokenizer for those of the store."""
        return ids if self._renamed is None else self._renamed(ids)

    def _rows_at(self, places: np.ndarray) -> Split:
        """The sentences at these places."""
        split = copy(self)
        split.__dict__.pop("lengths_by_field", None)
        split._rows = places if self._rows is None else self._rows[places]
        split.labels = None if self.labels is None else self.labels[places]
        split.columns = {n: [v[int(row)] for row in places] for n, v in self.columns.items()}
        return split

    def with_labels(self, labels: np.ndarray, *, labelled_alone: bool) -> Split:
        """The same sentences with other labels, or those of them alone that have one.

        :param labels: by index, -1 where none is given, ``(N,)``.
        """
        split = copy(self)
        split.labels = labels
        return split._rows_at(np.flatnonzero(labels != NOT_GIVEN)) if labelled_alone else split

    def __repr__(self) -> str:
        what = "sentences" if self._documents is None else "documents"
        return f"Split({self.name}, {len(self)} {what}, {self.num_tokens} tokens)"

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of every row, or of all sentences of a document, with each ``<eos>``, ``(N,)``."""
        return self._kept(self._text[TOKENS].lengths)

    @property
    def num_sentences(self) -> np.ndarray | None:
        """Sentences of every document, ``(N,)``; None where a datum is one sentence."""
        return None if self._documents is None else self._kept(self._documents.num_sentences)

    @property
    def longest(self) -> np.ndarray:
        """Tokens of every row, or of the longest sentence of a document, ``(N,)``."""
        return self.lengths if self._documents is None else self._kept(self._documents.longest)

    @cached_property
    def shapes(self) -> np.ndarray:
        """Sentences of every datum, tokens of its longest one and of its source, ``(N, 3)``."""
        num_sentences = self.num_sentences
        ones = np.ones(len(self), dtype=np.int64)
        of_source = self.lengths_by_field[:, 1:].sum(1)
        counts = ones if num_sentences is None else num_sentences
        return np.stack([counts, self.longest, of_source], axis=1)

    def _kept(self, values: np.ndarray) -> np.ndarray:
        return values if self._rows is None else values[self._rows]

    @cached_property
    def lengths_by_field(self) -> np.ndarray:
        """Tokens of every sentence in each field of text, ``(N, F)``."""
        return self._kept(np.stack([rows.lengths for rows in self._text.values()], axis=1))

    @property
    def cost(self) -> np.ndarray:
        """Tokens of every sentence in all fields of text, ``(N,)``: by it batches are made."""
        return self.lengths_by_field.sum(1)

    @property
    def num_tokens(self) -> int:
        """Tokens of the split, ``<eos>`` included, those of sources not."""
        return self._text[TOKENS].num_ids if self._rows is None else int(self.lengths.sum())

    def batch(self, indices: np.ndarray) -> Batch:
        """The data at these indices, text padded on the right with 0 to the longest."""
        positions = np.array(indices, dtype=np.int64)
        stored = positions if self._rows is None else self._rows[positions]
        padded = {name: torch.from_numpy(rows.padded(stored)) for name, rows in self._text.items()}
        fields = {name: self._with_names(ids) for name, ids in padded.items()}
        if self.labels is not None:
            fields[LABELS] = torch.from_numpy(self.labels[positions].astype(np.int64))
        return Batch(fields, torch.from_numpy(positions))


class Corpus:
    """Three splits of encoded sentences with their tokenizer; made by :func:`load_corpus`.

    >>> from pyro_textvae.data import load_corpus
    >>> corpus = load_corpus("grammar", num_sentences=100)
    >>> corpus.fields, corpus.label_names
    (('tokens',), ())
    >>> sentence = corpus.train[0]
    >>> corpus.tokenizer.encode(corpus.tokenizer.decode(sentence)) == sentence[:-1].tolist()
    True

    :param folder: the packed store.
    :param meta: its description.
    :param source_name: what the corpus is called.
    :param tokenizer: of its ids.
    :param settings: what :func:`load_corpus` was given, by the names of the settings of ``train``.
    :param world: what the sentences were drawn from, where its probabilities are known.
    """

    def __init__(
        self,
        folder: Path,
        meta: dict[str, Any],
        source_name: str,
        tokenizer: Tokenizer,
        settings: Mapping[str, Any],
        world: World | None = None,
    ) -> None:
        self.settings = dict(settings)
        """What it was loaded by; ``data`` is the name of its source."""
        self.source = source_name
        self.world = world
        """What the sentences were drawn from, where its probabilities are known."""
        self.tokenizer = tokenizer
        self.fields: tuple[str, ...] = tuple(meta["fields"])
        """Names of the fields of a batch."""
        self.label_names: tuple[str, ...] = tuple(meta["label_names"] or ())
        """The labels in the order of their indices."""
        self.has_documents: bool = meta.get("documents", False)
        """Whether a datum is a list of sentences, and ``tokens`` of a batch ``(N, S, T)``."""
        renamed = None
        if self.tokenizer.copies_unknown_words:
            copied = self.tokenizer.copied_words
            renamed = RenamedIds(stored_words(folder), copied, len(self.tokenizer))
        self.train, self.valid, self.test = (
            Split(folder, name, self.fields, meta["columns"][name], self.has_documents, renamed)
            for name in SPLITS
        )
        self._counts = meta["counts"]
        self._raw_counts = meta["raw_counts"]
        self.source_warnings: tuple[str, ...] = tuple(meta["warnings"])
        """What its source says to beware of."""
        digest = content_digest(self.tokenizer.fingerprint, *meta["digests"])
        self.fingerprint = digest[:16]
        """A short hash of the tokenizer and of all fields of the encoded splits."""

    def __repr__(self) -> str:
        sizes = " / ".join(f"{len(self.split(name)):,}" for name in SPLITS)
        what = "documents" if self.has_documents else "sentences"
        return f"Corpus({self.source}, {sizes} {what}, {self.tokenizer})"

    def _repr_html_(self) -> str:
        shown: dict[str, Any] = {
            name: f"{len(split):,} sentences, {split.num_tokens:,} tokens"
            for name, split in ((name, self.split(name)) for name in SPLITS)
        }
        shown |= {"tokenizer": self.tokenizer, "longest": f"{self.max_length} tokens"}
        if self.label_names:
            shown["labels"] = ", ".join(self.label_names)
        first = self.tokenizer.decode_parts(self.train[0].tolist()) if len(self.train) else ""
        return table_of(f"Corpus {self.source}", {**shown, "first": first})

    def to_dict(self) -> dict[str, Any]:
        """The counts of every split, as :meth:`summary`."""
        return self.summary()

    def to_pandas(self, split: str = "train") -> Any:
        """A ``pandas.DataFrame`` of a split: texts as the tokenizer gives them back, and labels.

        :raises UserError: where pandas is not installed, and for a split that there is not.
        """
        rows = self.split(split)
        decode = self.tokenizer.decode_parts
        columns: dict[str, Any] = {"text": [decode(row.tolist()) for row in rows]}
        if SOURCE in self.fields:
            sources = rows.batch(np.arange(len(rows)))[SOURCE]
            columns[SOURCE] = [decode(row) for row in sources.tolist()]
        if rows.labels is not None:
            named = {NOT_GIVEN: None, **dict(enumerate(self.label_names))}
            columns["label"] = [named[label] for label in rows.labels.tolist()]
        return data_frame({**rows.columns, **columns})

    def keep_fewer_labels(
        self, share: float | None, seed: int = 0, *, unlabelled: str = "keep"
    ) -> None:
        """Hide labels of the train split, or leave out its sentences without one; see load_corpus.

        Tokenizer, names of labels, other splits and fingerprint stay those of all of the corpus, so
        that what was trained on parts of it can be compared on the others.

        :param share: of the labels that are given, to keep; None for all.
        :param unlabelled: ``"keep"`` or ``"drop"``, of the sentences that have none then.
        :raises UserError: for a corpus without labels, and where a label would be left with no
            sentence.
        """
        if self.train.labels is None:
            name = "unlabelled='drop'" if share is None else f"labelled_share={share}"
            raise UserError(
                f"{name} is of the labels of sentences, and {self.source} has none: set "
                "label_column to the column of the labels, or leave it out"
            )
        labels = np.array(self.train.labels)
        if share is not None:
            labels = hide_labels(labels, share, seed, self.label_names)
        self.train = self.train.with_labels(labels, labelled_alone=unlabelled == "drop")
        counts = self._counts["train"]
        self._counts["train"] = counts = {**counts, "labelled": int((labels != NOT_GIVEN).sum())}
        if unlabelled == "drop":
            self._raw_counts["train"] = None
            num_sentences = self.train.num_sentences
            if num_sentences is not None:
                counts["documents"] = len(self.train)
            counts["sentences"] = int(self.train.shapes[:, 0].sum())
            counts["tokens"] = self.train.num_tokens
            rows = [row.numpy() for row in self.train]
            unknown = sum(int((row == UNK).sum()) for row in rows)
            num_words = self.train.num_tokens - counts["sentences"]
            counts["unknown_token_share"] = unknown / max(1, num_words)

    @property
    def max_length(self) -> int:
        """Tokens of the longest row of text of all splits, ``<eos>`` included."""
        return max(int(self.split(name).longest.max(initial=0)) for name in SPLITS)

    @property
    def max_sentences(self) -> int | None:
        """Sentences of the longest document of all splits; None where a datum is one sentence."""
        if not self.has_documents:
            return None
        return max(int(self.split(name).shapes[:, 0].max(initial=0)) for name in SPLITS)

    @cached_property
    def grammar(self) -> Grammar | None:
        """The grammar that the sentences were drawn from, for "grammar" and "world:grammar"."""
        grammar: Grammar | None = getattr(self.world, "grammar", None)
        return grammar

    def split(self, name: str) -> Split:
        """A split by name.

        :raises UserError: for another name.
        """
        if name not in SPLITS:
            raise UserError(f"unknown split {name!r}; it is one of {', '.join(SPLITS)}")
        split: Split = getattr(self, name)
        return split

    def plan(
        self,
        split: str,
        batch_size: int | None = None,
        *,
        max_tokens: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> list[np.ndarray]:
        """The indices of every batch, as :func:`plan_batches` draws them.

        Documents are drawn by :func:`~pyro_textvae.data.document_batches.plan_document_batches`.

        A run that resumes after k batches continues with ``corpus.split(name).batch(indices)`` for
        the indices in ``plan[k:]``.
        """
        plan: Callable[..., list[np.ndarray]]
        plan, sizes = plan_batches, self.split(split).lengths_by_field
        if self.has_documents:
            plan, sizes = plan_document_batches, self.split(split).shapes
        return plan(
            sizes,
            batch_size,
            max_tokens=max_tokens,
            seed=seed,
            epoch=epoch,
            shuffle=shuffle,
        )

    def padding_share(
        self, split: str, batch_size: int | None = None, *, max_tokens: int | None = None
    ) -> float:
        """The share of places for tokens of text that is padding, in the batches of an epoch.

        >>> from pyro_textvae.data import load_corpus
        >>> load_corpus("grammar", num_sentences=100).padding_share("train", 1)
        0.0
        """
        plan = self.plan(split, batch_size, max_tokens=max_tokens)
        places = num_places(self.split(split).shapes, plan)
        return 1 - self.split(split).num_tokens / places if places else 0.0

    def batches(
        self,
        split: str,
        batch_size: int | None = None,
        *,
        max_tokens: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> Iterator[Batch]:
        """Yield a :class:`Batch` of some sentences until each of the split came once.

        Options as in :func:`plan_batches`: ``batch_size`` sentences (default 32) or at most
        ``max_tokens`` padded tokens a batch; drawn anew from ``(seed, epoch)``, or in order of
        cost.
        """
        plan = self.plan(
            split, batch_size, max_tokens=max_tokens, seed=seed, epoch=epoch, shuffle=shuffle
        )
        return map(self.split(split).batch, plan)

    def num_batches(
        self,
        split: str,
        batch_size: int | None = None,
        *,
        max_tokens: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> int:
        """How many batches :meth:`batches` yields with the same arguments."""
        return len(
            self.plan(
                split, batch_size, max_tokens=max_tokens, seed=seed, epoch=epoch, shuffle=shuffle
            )
        )

    def raw_counts(self, name: str) -> tuple[int, int] | None:
        """Words, set apart by whitespace, and characters of the raw text of a split's sentences.

        The same for every tokenizer; ``<eos>`` is not counted. None where sentences were cut to
        ``max_length``: of those, the corpus has other text than the raw one; and where those
        without a label were left out.

        >>> from pyro_textvae.data import load_corpus
        >>> corpus = load_corpus("grammar", num_sentences=100)
        >>> words, characters = corpus.raw_counts("test")
        >>> words == corpus.test.num_tokens - len(corpus.test)
        True

        :raises UserError: for a split that there is not.
        """
        self.split(name)
        counts = self._counts[name]
        if counts["truncated"] or counts.get("documents_cut") or self._raw_counts[name] is None:
            return None
        return self._raw_counts[name]["words"], self._raw_counts[name]["characters"]

    def num_in_other_splits(self, name: str) -> int:
        """Sentences of a split that stand in another one too, with the same source.

        0 where sentences were left out for want of a label: of the rest it is not known.

        :raises UserError: for a split that there is not.
        """
        self.split(name)
        counts = self._raw_counts[name]
        return 0 if counts is None else counts["in_other_splits"]

    def num_repeated(self, name: str) -> int:
        """Sentences of a split of which an equal one, with the same source, came before in it.

        0 where sentences were left out for want of a label: of the rest it is not known.

        :raises UserError: for a split that there is not.
        """
        self.split(name)
        counts = self._raw_counts[name]
        return 0 if counts is None else counts["repeated"]

    def warnings(self, name: str) -> list[str]:
        """What to beware of in the text of a split.

        >>> from pyro_textvae.data import load_corpus
        >>> load_corpus("grammar", num_sentences=100).warnings("test")
        []

        :raises UserError: for a split that there is not.
        """
        num_sentences = int(self.split(name).shapes[:, 0].sum())
        share = self._counts[name]["unknown_token_share"]
        if share <= MANY_UNKNOWN:
            return []
        raw = self._raw_counts[name]
        unspaced = raw is not None and (
            raw["words"] < _FEW_WORDS * num_sentences
            or raw["characters"] > _LONG_WORD * raw["words"]
        )
        advice = "train with --tokenizer bpe, or with more text or a larger vocabulary"
        if unspaced and self.tokenizer.tokens_are_words:
            advice = "it has no spaces between words: train with --tokenizer character"
        return [
            f"{100 * share:.1f} % of the tokens of the {name} split are unknown, and its nll is "
            f"that of <unk> in their place, lower than the text's; {advice}"
        ]

    def summary(self) -> dict[str, Any]:
        """The counts of every split and what was dropped or cut, fit for JSON.

        ``unknown_token_share`` is the share of ``<unk>`` among the tokens other than ``<eos>``.
        Blank lines of a single file are counted under train. A sentence with a source is dropped or
        cut where either is too long, and counted once.
        """
        summary: dict[str, Any] = {
            "source": self.source,
            "tokenizer": self.tokenizer.kind,
            "unicode_form": self.tokenizer.unicode_form,
            "vocab_size": len(self.tokenizer),
            "max_length": self.max_length,
            "fingerprint": self.fingerprint,
            **{name: dict(self._counts[name]) for name in SPLITS},
        }
        if LABELS in self.fields:
            summary["label_names"] = list(self.label_names)
        return summary
