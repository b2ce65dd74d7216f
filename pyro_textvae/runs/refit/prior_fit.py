# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A prior fitted to what a pair makes of the sentences of a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyro
import torch

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.evaluation.posterior_draws import PosteriorDraws, posterior_draws
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.priors import GaussianMixture
from pyro_textvae.runs.build import Pair
from pyro_textvae.runs.load import StoredRun
from pyro_textvae.runs.refit.effect import Batches, some_sentences
from pyro_textvae.runs.refit.guide_draws import guide_draws
from pyro_textvae.runs.refit.new_prior import MIXTURE, prior_of, with_prior
from pyro_textvae.training.fit_prior import (
    NUM_COMPONENTS,
    FittedPrior,
    fit_by_gradient,
    fit_mixture,
)
from pyro_textvae.training.fit_prior_to_likelihood import (
    FittedToLikelihood,
    fit_mixture_to_likelihood,
    fit_to_likelihood_by_gradient,
)

RefitTarget = Literal["aggregate", "likelihood"]
"""What a prior is fitted to: the draws of the guide, or log p(x) of the sentences."""

_DRAWS_OF_GUIDE = 5
_DRAWS_OF_POSTERIOR = 64
_ROUNDS = 2
"""Times that the posterior is drawn from, each under the prior of the time before."""
_SENTENCES_AT_ONCE = 64


@dataclass(frozen=True)
class FittedPair:
    """A pair with a new prior.

    config
        Its settings, the number of components among them.
    fitted
        How well the prior fits what was held out.
    before
        How well the prior of the pair that it was made of does.
    traces
        Of each round of draws, the mean log p(x) of the sentences by them, at each step of EM.
    median_ess
        Of each round, the effective draws of the median sentence under the prior they are drawn by.
    """

    pair: Pair
    config: TrainConfig
    fitted: FittedPrior
    before: float
    traces: tuple[tuple[float, ...], ...] = ()
    median_ess: tuple[float, ...] = ()


def fit_to_aggregate(
    run: StoredRun, corpus: Corpus, present: Pair, config: TrainConfig, seed: int
) -> FittedPair:
    """The prior that the draws of the guide are likeliest under.

    :param present: the pair whose guide draws, and whose weights the new one has but for its prior.
    """
    draws, held_out = (
        torch.cat(
            [
                z.flatten(0, 1)
                for z in guide_draws(
                    present,
                    corpus.batches(name, _SENTENCES_AT_ONCE, shuffle=False),
                    _DRAWS_OF_GUIDE,
                    seed + place,
                )
            ]
        )
        for place, name in enumerate(("train", "valid"))
    )
    with evaluation_mode(present.model, present.guide, 0):
        before = float(prior_of(present)().log_prob(held_out).mean())
    pair = with_prior(run, present, config, seed)
    if config.prior != MIXTURE:
        with pyro.settings.context(module_local_params=True):
            fitted = fit_by_gradient(prior_of(pair), draws, held_out, seed=seed)
        pair.modules.eval()
        return FittedPair(pair, config, fitted, before)
    fitted = fit_mixture(draws, held_out, _numbers(config), seed=seed)
    return FittedPair(*_with_mixture(run, present, config, fitted, seed), fitted, before)


def fit_to_likelihood(
    run: StoredRun,
    corpus: Corpus,
    present: Pair,
    config: TrainConfig,
    train: Batches,
    seed: int,
    *,
    go_on: bool,
) -> FittedPair:
    """The prior that the sentences are likeliest under, the decoder fixed, by Monte Carlo EM.

    :param present: the pair whose posteriors are drawn from.
    :param train: the sentences; as many of the valid split say when to stop.
    :param go_on: from the prior of ``present``, which is one of the same kind.
    """
    valid = some_sentences(corpus, "valid", sum(len(batch["tokens"]) for batch in train), seed)
    pair, before, tried, traces, ess = present, float("nan"), {}, [], []
    for number in range(_ROUNDS):
        draws, held_out = (
            posterior_draws(pair.model, pair.guide, batches, _DRAWS_OF_POSTERIOR, seed + place)
            for place, batches in enumerate((train, valid), start=2 * number)
        )
        result = _one_round(run, pair, config, draws, held_out, seed, go_on=go_on or number > 0)
        pair, config, to_likelihood = result
        if number == 0:
            before = float(held_out.log_px(held_out.log_prior).mean())
            tried = to_likelihood.fitted.tried
        traces.append(to_likelihood.log_px)
        ess.append(draws.median_ess)
    fitted = replace(to_likelihood.fitted, tried=tried)
    return FittedPair(pair, config, fitted, before, tuple(traces), tuple(ess))


def _one_round(
    run: StoredRun,
    present: Pair,
    config: TrainConfig,
    draws: PosteriorDraws,
    held_out: PosteriorDraws,
    seed: int,
    *,
    go_on: bool,
) -> tuple[Pair, TrainConfig, FittedToLikelihood]:
    if config.prior == MIXTURE:
        start = prior_of(present) if go_on else None
        assert start is None or isinstance(start, GaussianMixture)
        result = fit_mixture_to_likelihood(
            draws, held_out, _numbers(config), start=start, seed=seed
        )
        return *_with_mixture(run, present, config, result.fitted, seed), result
    pair = with_prior(run, present, config, seed)
    prior = prior_of(pair)
    if go_on:
        prior.load_state_dict(prior_of(present).state_dict())
    with pyro.settings.context(module_local_params=True):
        result = fit_to_likelihood_by_gradient(prior, draws, held_out, go_on=go_on, seed=seed)
    pair.modules.eval()
    return pair, config, result


def _numbers(config: TrainConfig) -> Sequence[int]:
    given = config.options.get("num_components")
    return NUM_COMPONENTS if given is None else [given]


def _with_mixture(
    run: StoredRun, present: Pair, config: TrainConfig, fitted: FittedPrior, seed: int
) -> tuple[Pair, TrainConfig]:
    """The pair with a mixture whose number of components is known only now."""
    assert isinstance(fitted.prior, GaussianMixture)
    options = {**config.options, "num_components": fitted.prior.num_components}
    config = replace(config, options=options)
    pair = with_prior(run, present, config, seed)
    prior_of(pair).load_state_dict(fitted.prior.state_dict())
    return pair, config
