# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the metrics of one assessment look at, each part made once and when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_textvae.assessment.bootstrap import Bootstrap
from pyro_textvae.assessment.judge import Judge
from pyro_textvae.assessment.sentences import Sentences
from pyro_textvae.config.assess import AssessmentConfig
from pyro_textvae.contract import LABELS, SOURCE, TOKENS
from pyro_textvae.data import Corpus
from pyro_textvae.data.corpus import Split
from pyro_textvae.errors import UserError
from pyro_textvae.generation import (
    Constraints,
    build_method,
    encode,
    fit_ex_post_density,
    generate_summaries,
    sample,
    sample_in_parts,
)
from pyro_textvae.generation.documents import said_by_text, with_every_place
from pyro_textvae.infer.simulate import fields_of, takes_condition
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import Pair

_AT_ONCE = 200
# Every use of the seed has draws of its own.
_REPLIES, _REPLICATES, _OF_TRAINING, _DRAWN_LATENTS, _TRAINING_SAMPLES = range(101, 106)


class Material:
    """The texts of a run, the text beside them, and the language models that judge them.

    :param folder: of the run.
    :param pair: its model and guide.
    :param corpus: that it was trained on.
    :param trust_code: execute what a judge's run names from outside the catalogue.
    """

    def __init__(
        self,
        folder: RunFolder,
        pair: Pair,
        corpus: Corpus,
        config: AssessmentConfig,
        *,
        trust_code: bool = False,
    ) -> None:
        self.folder = folder
        self.model, self.guide = pair.model, pair.guide
        self.corpus = corpus
        self.tokenizer = corpus.tokenizer
        self.config = config
        self.bootstrap = Bootstrap(config.num_resamples, config.seed)
        self._trust_code = trust_code
        self.used: dict[str, dict[str, Any]] = {}
        """How each text that was looked at was made, by its name."""
        self.remarks: list[str] = []
        """What to know of the numbers beside them, a line each."""
        self.examples: list[dict[str, str]] = []
        """Texts shown beside what they are copied from."""

    @property
    def size(self) -> int:
        """Sentences of the samples, and of the text beside them."""
        return min(self.config.size, len(self._split))

    @property
    def _split(self) -> Split:
        return self.corpus.split(self.config.split)

    @cached_property
    def _indices(self) -> np.ndarray:
        generator = np.random.default_rng(self.config.seed)
        return np.sort(generator.choice(len(self._split), self.size, replace=False))

    @cached_property
    def batch(self) -> Mapping[str, Tensor]:
        """The sentences of the split that are looked at, with all their fields."""
        return self._split.batch(self._indices)

    @cached_property
    def has_documents(self) -> bool:
        """Whether a datum is a document; as one text it is its sentences one after another."""
        return self.batch[TOKENS].dim() == 3

    @cached_property
    def is_conditional(self) -> bool:
        """Whether the model takes a field of the text besides its tokens."""
        return takes_condition(self.model, self.batch)

    @cached_property
    def takes_source(self) -> bool:
        """Whether the model takes a source."""
        return SOURCE in fields_of(self.model, self.batch)

    @cached_property
    def real(self) -> Sentences:
        """Text of the split, the same number of sentences as samples."""
        return self._text(self.config.split, self._indices)

    @cached_property
    def other_real(self) -> Sentences:
        """As many sentences of another split, for what real text has against real text."""
        name = "valid" if self.config.split != "valid" else "test"
        return self._text(name, self._some(name, self.size, self.config.seed))

    @cached_property
    def training(self) -> Sentences:
        """The training text."""
        return self._text("train", np.arange(len(self.corpus.train)))

    @cached_property
    def validation(self) -> Sentences:
        """The validation text."""
        return self._text("valid", np.arange(len(self.corpus.valid)))

    @cached_property
    def labelled_elsewhere(self) -> tuple[list[str], list[str]]:
        """Texts of a split that is neither trained on nor looked at, with their labels."""
        name = "valid" if self.config.split != "valid" else "test"
        labels, names = self.corpus.split(name).labels, self.corpus.label_names
        if labels is None:
            return [], []
        places = np.flatnonzero(np.asarray(labels) >= 0)
        texts = self._text(name, places).texts
        return list(texts), [names[int(label)] for label in labels[places]]

    @cached_property
    def sources(self) -> Sentences:
        """What the sentences of :attr:`real` are conditioned on."""
        rows = self.batch[SOURCE].tolist()
        made = self._made(split=self.config.split)
        return self._noted("sources", Sentences.of_rows(rows, self.tokenizer, made))

    @cached_property
    def samples(self) -> Sentences:
        """Samples; of a model that takes a source, one for each of :attr:`sources`."""
        return self._noted("samples", self._generate(self.size, 0))

    @cached_property
    def training_samples(self) -> Sentences:
        """Further samples, to train a language model on."""
        count = self.config.num_training_samples
        return self._noted("training_samples", self._generate(count, _TRAINING_SAMPLES))

    @cached_property
    def replies(self) -> list[Sentences]:
        """``num_draws`` texts for every source: the k-th for each of them."""
        count = self.config.num_draws
        rows = self._generate(self.size * count, _REPLIES)
        self._noted("replies", rows)
        return [rows[k * self.size : (k + 1) * self.size] for k in range(count)]

    @cached_property
    def replicates(self) -> list[Sentences]:
        """Sets of samples as large as :attr:`replicated`."""
        size, count = len(self.replicated), self.config.num_replicates
        rows = self._generate(size * count, _REPLICATES, rows=size)
        self._noted("replicates", rows)
        return [rows[k * size : (k + 1) * size] for k in range(count)]

    @cached_property
    def replicated(self) -> Sentences:
        """The text that each set of samples is held against."""
        return self.real[: self.config.replicate_size]

    @cached_property
    def reconstructions(self) -> dict[str, Sentences]:
        """The sentences of :attr:`real` decoded again: at their posterior mean, and at a draw.

        :raises UserError: for a model without a latent.
        """
        return {
            name: self._noted(name, self._reconstruct(mean))
            for name, mean in {"mean_reconstructions": True, "drawn_reconstructions": False}.items()
        }

    @cached_property
    def groups(self) -> list[list[str]]:
        """The sentences of each document of :attr:`real`."""
        documents = self.batch[TOKENS].tolist()
        return [[self.tokenizer.decode(row) for row in rows if any(row)] for rows in documents]

    @cached_property
    def summaries(self) -> Sentences:
        """One text for each of :attr:`groups`: what its parts have in common."""
        config = self.config
        method = build_method(config.reconstruction_method, config.reconstruction_options)
        constraints = Constraints(unknown=config.unknown)
        rows: list[list[int]] = []
        for first in range(0, self.size, _AT_ONCE):
            batch = self._split.batch(self._indices[first : first + _AT_ONCE])
            written = generate_summaries(
                self.model,
                self.guide,
                batch,
                method=method,
                seed=config.seed + first,
                constraints=constraints,
            )
            rows += written.tokens.tolist()
        made = self._made(
            method=config.reconstruction_method,
            options=config.reconstruction_options,
            unknown=config.unknown,
            latents="what the parts of a group have in common, at its posterior mean",
            seed=config.seed,
        )
        return self._noted("summaries", Sentences.of_rows(rows, self.tokenizer, made))

    @cached_property
    def judge(self) -> Judge:
        """The language model of real text."""
        config = self.config
        if config.language_model is None:
            judge = self._trained_judge(self.training, self.validation)
        else:
            judge = Judge.of_run(
                config.language_model, device=config.device, trust_code=self._trust_code
            )
            trained_on = judge.made["corpus_fingerprint"]
            if trained_on != self.corpus.fingerprint:
                self.remarks.append(
                    f"the language model {config.language_model} was trained on other text than "
                    "the run, or with another tokenizer: its perplexity of the real text is beside"
                )
        self.used["language_model"] = judge.made
        return judge

    @cached_property
    def judge_of_samples(self) -> Judge:
        """A language model trained on samples."""
        return self._trained_judge(*_parted(self.training_samples))

    @cached_property
    def judge_of_as_much_text(self) -> Judge:
        """A language model trained on as many real sentences, or all where there are fewer."""
        count = self.config.num_training_samples
        seed = self.config.seed + _OF_TRAINING
        return self._trained_judge(*_parted(self._text("train", self._some("train", count, seed))))

    def _trained_judge(self, train: Sentences, valid: Sentences) -> Judge:
        config = self.config
        settings = {"seed": config.seed, "device": config.device, **config.language_model_settings}
        splits = (self.corpus.train, self.corpus.valid, self.corpus.test)
        longest = [int(split.lengths.max(initial=1)) for split in splits]
        lengths = [len(ids) + 1 for sentences in (train, valid) for ids in sentences.ids]
        most = max(*longest, *lengths, self._longest_sample)
        return Judge.trained(train, valid, self.tokenizer, settings, max_length=most)

    @property
    def _longest_sample(self) -> int:
        return max(len(ids) + 1 for ids in self.samples.ids)

    def given(self, index: int) -> dict[str, str]:
        """What the model is given of the sentence at a place of :attr:`real`, as text."""
        taken = fields_of(self.model, self.batch)
        given = {}
        if SOURCE in taken:
            given["source"] = self.sources.texts[index]
        if LABELS in taken and int(taken[LABELS][index]) >= 0:
            given["label"] = self.corpus.label_names[int(taken[LABELS][index])]
        return given

    def _generate(self, size: int, purpose: int, rows: int | None = None) -> Sentences:
        """Samples; the i-th is on what sentence i is conditioned on, counted round.

        :param rows: sentences that are counted round; by default all of :attr:`real`.
        """
        config = self.config
        seed = config.seed + purpose
        method = build_method(config.method, config.options)
        condition: Any = size
        if self.is_conditional:
            places = np.arange(size) % (rows or self.size)
            condition = self._split.batch(self._indices[places])
        latents = None
        if config.latents_from == "aggregate":
            latents = self._density.latents(self.model, size, seed=seed)
        parts = sample_in_parts(
            self.model,
            condition,
            method=method,
            seed=seed,
            unknown=config.unknown,
            latents=latents,
            guide=self.guide,
        )
        made = self._made(
            method=config.method,
            options=config.options,
            unknown=config.unknown,
            latents_from=config.latents_from,
            seed=seed,
        )
        texts = _rows_of(parts, documents=self.has_documents)
        return Sentences.of_rows(texts, self.tokenizer, made)

    @cached_property
    def _density(self) -> Any:
        density = fit_ex_post_density(
            self.model,
            self.guide,
            self.corpus.batches("train", shuffle=False),
            self.corpus.batches("valid", shuffle=False),
            num_components=self.config.num_components,
            seed=self.config.seed,
        )
        self.remarks.append(f"the aggregate posterior: {density.describe()}")
        return density

    def _reconstruct(self, mean: bool) -> Sentences:
        config = self.config
        method = build_method(config.reconstruction_method, config.reconstruction_options)
        rows: list[Any] = []
        for first in range(0, self.size, _AT_ONCE):
            given = self._split.batch(self._indices[first : first + _AT_ONCE])
            batch = with_every_place(self.model, given)
            seed = config.seed + first + (0 if mean else _DRAWN_LATENTS)
            latents = encode(self.guide, batch, mean=mean, seed=seed)
            latents |= said_by_text(self.model, batch)
            condition = {name: value for name, value in batch.items() if name != TOKENS}
            parts = sample(
                self.model,
                condition if self.is_conditional else len(batch[TOKENS]),
                method=method,
                seed=seed,
                unknown=config.unknown,
                latents=latents,
                guide=self.guide,
            )
            rows += _rows_of([parts], documents=self.has_documents)
        made = self._made(
            method=config.reconstruction_method,
            options=config.reconstruction_options,
            unknown=config.unknown,
            latents="posterior mean" if mean else "a draw of the posterior",
            seed=config.seed if mean else config.seed + _DRAWN_LATENTS,
        )
        return Sentences.of_rows(rows, self.tokenizer, made)

    def _some(self, name: str, count: int, seed: int) -> np.ndarray:
        size = len(self.corpus.split(name))
        return np.sort(np.random.default_rng(seed).permutation(size)[:count])

    def _text(self, name: str, indices: np.ndarray) -> Sentences:
        split = self.corpus.split(name)
        rows = (split[int(index)].tolist() for index in indices)
        return Sentences.of_rows(rows, self.tokenizer, self._made(split=name))

    def _made(self, **facts: Any) -> dict[str, Any]:
        return {**facts, "tokenizer": self.tokenizer.fingerprint}

    def _noted(self, name: str, sentences: Sentences) -> Sentences:
        self.used[name] = {"num_sentences": len(sentences), **sentences.made}
        return sentences


def _rows_of(parts: Iterable[Tensor], *, documents: bool) -> list[Any]:
    rows: list[Any] = []
    for part in parts:
        if part.dim() != 2 + documents or part.dtype not in (torch.int64, torch.int32):
            raise UserError(
                f"assess takes models of one text a datum, or of documents, and these are of shape "
                f"{tuple(part.shape)}: nothing is counted of several"
            )
        rows += part.tolist()
    return rows


def _parted(sentences: Sentences) -> tuple[Sentences, Sentences]:
    """Nine tenths to train on, and a tenth to stop by."""
    tenth = max(1, len(sentences) // 10)
    return sentences[tenth:], sentences[:tenth]
