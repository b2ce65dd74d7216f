# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""New labelled sentences from a model, of which it is itself sure that they have their label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.contract import LABELS, SOURCE, TOKENS
from pyro_textvae.data import Tokenizer, pad
from pyro_textvae.data.corpus import Split
from pyro_textvae.displayed import Displayed
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.label_probabilities import LabelProbabilities
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.generation import reconstruct, sample
from pyro_textvae.infer.simulate import named_fields, required_fields
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import Pair
from pyro_textvae.runs.evaluate import build_proposal, corpus_to_score
from pyro_textvae.runs.load import load_pair, load_tokenizer, read_run
from pyro_textvae.special_tokens import EOS

_AT_ONCE = 500
_TRIES = 20
"""Sentences that are generated for each that is wanted, at most."""


@dataclass(frozen=True)
class NewSentence:
    """One row, with where it is from.

    tokens
        Its ids, without ``<eos>``.
    probability
        The model's own p(label | tokens).
    made_of
        The place, from 1, of the sentence whose latents it was decoded from; None for the prior's.
    """

    tokens: list[int]
    label: str
    probability: float
    made_of: int | None


@dataclass(repr=False)
class Augmented(Displayed):
    """What was generated, and how much of it was kept.

    wanted
        Sentences of each label.
    left_out
        Why how many were: unlike their label, there already, cut at the longest length.
    """

    tokenizer: Tokenizer
    wanted: dict[str, int]
    sentences: list[NewSentence] = field(default_factory=list)
    num_generated: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> dict[str, int]:
        """How many of each label were not found."""
        kept = Counter(each.label for each in self.sentences)
        return {name: n - kept[name] for name, n in self.wanted.items() if n > kept[name]}


def augment(
    path: str | Path | RunFolder,
    config: EvaluationConfig,
    *,
    ratio: float = 1.0,
    min_probability: float = 0.8,
    latents_from: str = "posterior",
    trust_code: bool = False,
) -> Augmented:
    """As many new sentences of each label as text has, times a ratio.

    Each is decoded, word by word at random, with the label of a sentence of the text, from latents
    that are drawn from the posterior of that sentence, or from the prior; it is kept where the
    model's own p(label | sentence) is high enough, and it is new.

    :param config: which text, and the draws that p(label | sentence) is estimated by.
    :param ratio: new sentences for each labelled one.
    :param min_probability: the least p(label | sentence) of one that is kept.
    :param latents_from: ``"posterior"`` or ``"prior"``.
    :raises UserError: for text without labels, and a run whose model takes none.
    """
    run = read_run(path, trust_code=trust_code)
    names = tuple(run.label_names or ())
    tokenizer = load_tokenizer(run)
    pair = load_pair(run, device=config.device)
    if not names or LABELS not in named_fields(pair.model):
        raise UserError(
            f"the model of {run.folder.path} generates on no label: train one that does, such as "
            "--model labelled_vae, on text with labels"
        )
    if SOURCE in required_fields(pair.model):
        raise UserError(
            f"the model of {run.folder.path} generates on a source too, and new sources there are "
            "none: use sample with sources of your own"
        )
    corpus = corpus_to_score(run, config, tokenizer)
    split = corpus.split(config.split)
    if split.labels is None or not (split.labels >= 0).any():
        raise UserError(
            f"no sentence of {config.data or run.config.data} has a label: name their column with "
            "--label-column"
        )
    labels = np.asarray(split.labels)
    counts = {name: int((labels == index).sum()) for index, name in enumerate(names)}
    result = Augmented(tokenizer, {name: round(ratio * count) for name, count in counts.items()})
    seen = {tuple(row.tolist()) for row in split}
    generator = np.random.default_rng([config.seed])
    for index, name in enumerate(names):
        if not result.wanted[name]:
            continue
        of_label = generator.permutation(np.flatnonzero(labels == index))
        _add_sentences(
            result, pair, config, split, of_label, names, name, seen, latents_from, min_probability
        )
    return result


def _add_sentences(
    result: Augmented,
    pair: Pair,
    config: EvaluationConfig,
    split: Split,
    of_label: np.ndarray,
    names: tuple[str, ...],
    name: str,
    seen: set[tuple[int, ...]],
    latents_from: str,
    min_probability: float,
) -> None:
    """Those of one label, in rounds over the sentences that have it."""
    wanted, kept, tried = result.wanted[name], 0, 0
    while kept < wanted and tried < _TRIES * wanted:
        size = min(_AT_ONCE, max(wanted - kept, 50))
        rows = of_label[np.arange(tried, tried + size) % len(of_label)]
        seed = seed_of(config.seed, name, tried) % 2**32
        batch = split.batch(rows)
        if latents_from == "prior":
            text = sample(pair.model, {LABELS: batch[LABELS]}, seed=seed, unknown=False)
        else:
            text = reconstruct(
                pair.model, pair.guide, batch, method="ancestral", seed=seed, unknown=False
            )
        tried += size
        result.num_generated += size
        ended, places = _ended(text.cpu())
        result.left_out["cut at the longest length"] += size - len(places)
        if not places:
            continue
        probability = _probability_of_label(pair, config, ended, names, names.index(name))
        for place, row, share in zip(places, ended, probability.tolist(), strict=True):
            if share < min_probability:
                result.left_out["unlike their label"] += 1
            elif tuple(row) in seen:
                result.left_out["there already"] += 1
            elif kept < wanted:
                seen.add(tuple(row))
                made_of = None if latents_from == "prior" else int(rows[place]) + 1
                result.sentences.append(NewSentence(row[:-1], name, share, made_of))
                kept += 1


def _ended(text: Tensor) -> tuple[list[list[int]], list[int]]:
    """The sentences that have an end, up to it, and their places."""
    rows, places = [], []
    for place, row in enumerate(text.tolist()):
        if EOS in row and row[0] != EOS:
            rows.append(row[: row.index(EOS) + 1])
            places.append(place)
    return rows, places


def _probability_of_label(
    pair: Pair, config: EvaluationConfig, rows: list[list[int]], names: tuple[str, ...], label: int
) -> Tensor:
    """The model's p(label | sentence) of each, ``(N,)``."""
    try:
        likelihood = log_likelihood(
            pair.model,
            pair.guide,
            list(_batches(rows, config.batch_size)),
            config.num_samples,
            config.seed,
            proposal=build_proposal(config),
            max_tokens=config.max_tokens,
        )
    except ValueError as error:
        raise UserError(f"what was generated cannot be scored: {in_one_line(error)}") from error
    probabilities = LabelProbabilities.of(likelihood, names)
    if probabilities is None:
        raise UserError("the model has no site of a label, so none can be told of what it says")
    return probabilities.by_bayes[:, label].exp()


def _batches(rows: list[list[int]], size: int) -> Iterator[Mapping[str, Any]]:
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        yield {TOKENS: pad(part), LABELS: torch.full((len(part),), -1)}
