# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What another prior does to a run: to its bound, to log p(x), and to the parts of its KL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.data import Corpus
from pyro_textvae.displayed import Displayed
from pyro_textvae.evaluation import Comparison, LogLikelihood, compare, information, log_likelihood
from pyro_textvae.evaluation.by_guide import ByGuide
from pyro_textvae.evaluation.information import Information
from pyro_textvae.evaluation.sentences import batch_of, sentences_in_corpus_order
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.runs.build import Pair
from pyro_textvae.runs.evaluate import build_proposal
from pyro_textvae.runs.refit.guide_draws import guide_draws
from pyro_textvae.runs.refit.new_prior import prior_of

Batches = Sequence[Mapping[str, Tensor]]

_SENTENCES_AT_ONCE = 64
_DRAWS = 50


@dataclass(frozen=True, repr=False)
class Effect(Displayed):
    """Two pairs that differ in their prior, on the same sentences; nats per sentence.

    bound_gain, bound_gain_error
        By how much the evidence lower bound rises. With the guide as it was, this is the fall of
        the KL of the aggregate posterior to the prior, and the error is over the sentences, on the
        same draws of z; both, and the parts of the KL, are of up to 2,000 sentences, as they cost
        next to nothing.
    bound_sentences
        Of how many sentences that is.
    before, after
        log p(x) of the sentences by the proposal, under the old prior and the new one.
    comparison
        Of them: the difference of the nll that a new sentence would see, new less old.
    guide_before, guide_after
        Mean nll by the guide's weights, which counts a better guide as a better model, of
        ``guide_sentences`` of the sentences.
    auto_before, auto_after
        That of these very sentences by the proposal.
    information_before, information_after
        The parts of the KL: what z knows of the sentence, and the mismatch with the prior.
    """

    bound_gain: float
    bound_gain_error: float
    bound_sentences: int
    before: LogLikelihood
    after: LogLikelihood
    comparison: Comparison
    guide_before: float
    guide_after: float
    guide_sentences: int
    auto_before: float
    auto_after: float
    information_before: Information
    information_after: Information


def some_sentences(corpus: Corpus, split: str, number: int, seed: int) -> Batches:
    """So many sentences of a split at random, or all where there are fewer, in batches."""
    sentences = sentences_in_corpus_order(corpus.batches(split, _SENTENCES_AT_ONCE, shuffle=False))
    generator = torch.Generator().manual_seed(seed)
    places = torch.randperm(len(sentences), generator=generator)[:number].sort().values
    return [
        batch_of([sentences[place] for place in part.tolist()])
        for part in places.split(_SENTENCES_AT_ONCE)
    ]


def effect_on(
    old: Pair,
    new: Pair,
    batches: Batches,
    more: Batches,
    config: EvaluationConfig,
    *,
    same_guide: bool,
) -> Effect:
    """Measure both pairs on these sentences.

    :param more: sentences for the parts of the KL, and for the bound where it costs as little.
    :param same_guide: whether they have one guide, so that the bound differs by the prior alone.
    """
    gain = (
        _gain_by_prior(old, new, more, config.seed)
        if same_guide
        else _gain_in_all(old, new, batches, config.seed)
    )
    before, after = (log_px(pair, batches, config) for pair in (old, new))
    by_guide_before, by_guide_after = (
        ByGuide.of(
            pair.model,
            pair.guide,
            batches,
            seed=config.seed,
            num_global_draws=None,
            max_tokens=None,
        )
        for pair in (old, new)
    )
    known_before, known_after = (
        information(pair.model, pair.guide, more, config.seed) for pair in (old, new)
    )
    error = gain.std().item() / math.sqrt(len(gain))
    return Effect(
        bound_gain=gain.mean().item(),
        bound_gain_error=error,
        bound_sentences=len(gain),
        before=before,
        after=after,
        comparison=compare(after, before),
        guide_before=by_guide_before.likelihood.nll,
        guide_after=by_guide_after.likelihood.nll,
        guide_sentences=len(by_guide_before.indices),
        auto_before=by_guide_before.nll_of_these(before),
        auto_after=by_guide_after.nll_of_these(after),
        information_before=known_before,
        information_after=known_after,
    )


def log_px(pair: Pair, batches: Batches, config: EvaluationConfig) -> LogLikelihood:
    """log p(x) of the sentences by the proposal of the settings."""
    return log_likelihood(
        pair.model,
        pair.guide,
        batches,
        config.num_samples,
        config.seed,
        proposal=build_proposal(config),
    )


def _gain_by_prior(old: Pair, new: Pair, batches: Batches, seed: int) -> Tensor:
    """Of each sentence, E log p_new(z) - log p_old(z) over the same draws of the one guide."""
    gains = []
    for z in guide_draws(old, batches, _DRAWS, seed + 2):
        with evaluation_mode(old.model, old.guide, seed):
            before, after = (prior_of(pair)().log_prob(z).double() for pair in (old, new))
        gains.append((after - before).mean(0))
    return torch.cat(gains)


def _gain_in_all(old: Pair, new: Pair, batches: Batches, seed: int) -> Tensor:
    """Of each sentence, the bound of one pair less that of the other."""
    before, after = (
        log_likelihood(pair.model, pair.guide, batches, _DRAWS, seed + 2).elbo
        for pair in (old, new)
    )
    return after - before
