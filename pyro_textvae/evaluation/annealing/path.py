# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Annealed importance sampling: log p(x) from below, and from draws of the posterior from above."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.evaluation.annealing.moves import MoveSettings
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.particles import Particles
from pyro_textvae.evaluation.annealing.sampler import AnnealedSampler
from pyro_textvae.evaluation.importance.target import Latents
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.infer.running import evaluation_mode

_MOVES_AT_THE_END = 10


@dataclass(frozen=True)
class AnnealingSettings:
    """How much work is done for each sentence.

    Gradient evaluations of a run where latents are real numbers: about
    ``num_chains * num_temperatures * leapfrog_steps``.

    :param num_chains: chains of a sentence; at least 2, for a standard error.
    :param num_temperatures: steps from the start of the path to the joint; at least 2.
    :param leapfrog_steps: of each Hamiltonian transition.
    :raises ValueError: for a number that is too small.
    """

    num_chains: int = 16
    num_temperatures: int = 40
    leapfrog_steps: int = 2

    def __post_init__(self) -> None:
        for name, least in (("num_chains", 2), ("num_temperatures", 2), ("leapfrog_steps", 1)):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")

    @property
    def transitions(self) -> int:
        """Transitions of one run from end to end."""
        return self.num_temperatures - 1


@dataclass(frozen=True)
class AnnealedEstimate:
    """Log p(x) of each of N sentences from C chains; nats, float64.

    log_weights
        ``(C, N)``: the sum over steps of (b_t - b_{t-1}) (log p(x, z) - log r(z)).
    acceptance
        Mean probability of acceptance over chains and transitions, ``(N,)``.
    is_upper_bound
        Whether the chains ran from the posterior to the start of the path.
    latents
        Where the chains ended, ``(C, N, *inner, *event)`` by site.
    """

    log_weights: Tensor
    acceptance: Tensor
    is_upper_bound: bool
    latents: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def log_px(self) -> Tensor:
        """The estimate ``(N,)``, in expectation below log p(x), or above it for an upper bound.

        exp(log_px) is unbiased for p(x); exp(-log_px) is unbiased for 1 / p(x) for an upper bound.
        """
        return self._sign * (self._signed.logsumexp(0) - math.log(len(self._signed)))

    @cached_property
    def standard_error(self) -> Tensor:
        """Standard error of ``log_px`` by the delta method, ``(N,)``.

        Where the chains of an upper bound begin at one draw from the posterior, this is the error
        given that draw; its own error shows between sentences only.
        """
        count = len(self._signed)
        squares = self._signed.softmax(0).square().sum(0)
        return ((squares - 1 / count).clamp(min=0.0) * count / (count - 1)).sqrt()

    @cached_property
    def spread(self) -> Tensor:
        """Standard deviation of the log-weights over chains, ``(N,)``; trust it well below 1."""
        return self.log_weights.std(0)

    @property
    def _sign(self) -> int:
        return -1 if self.is_upper_bound else 1

    @property
    def _signed(self) -> Tensor:
        return self._sign * self.log_weights


class AnnealingPath:
    r"""Chains along the densities of an annealed proposal, without resampling, in both directions.

    .. math:: f_b(z) = r(z)^{1 - b} \, p(x, z)^b

    The path, its start r, and the moves are those of
    :class:`~pyro_textvae.evaluation.proposals.AnnealedProposal`, for any latents that it moves. Its
    pilot run has found densities of like distance for each sentence; the temperatures b divide
    what lies between them evenly, and end in 0 and 1 exactly. Step sizes are fixed: steps that
    adapt to the chains they move would not leave f_b invariant, and the estimate would be biased.

    Source: Neal (2001), Annealed importance sampling, https://arxiv.org/abs/physics/9803008; Wu et
    al. (2017), On the quantitative analysis of decoder-based generative models,
    https://arxiv.org/abs/1611.04273; Grosse et al. (2015), Sandwiching the marginal likelihood
    using bidirectional Monte Carlo, https://arxiv.org/abs/1511.02543.

    :param sampler: what the proposal made of the sentences.
    :param seeds: of the chains of each sentence.
    :param advance: called with the number of sentences after every transition.
    """

    def __init__(
        self,
        sampler: AnnealedSampler,
        settings: AnnealingSettings | None = None,
        *,
        seeds: Sequence[int],
        advance: Callable[[int], object] | None = None,
    ) -> None:
        self.settings = settings or AnnealingSettings()
        self._path = sampler.path
        self._moves = sampler.moves
        self._lengths = sampler.schedule.lengths
        stages = sampler.schedule.stages
        first = torch.zeros_like(stages[0].beta)
        self._betas = torch.stack([first, *(stage.beta for stage in stages)])
        self._steps = torch.stack([stage.steps for stage in stages])
        self._units = torch.stack([stage.units for stage in stages])
        self.names = sampler.path.posteriors.names
        """Names of the latent sites."""
        self._seeds = list(seeds)
        self._advance = advance or (lambda count: None)

    def forward(self) -> AnnealedEstimate:
        """From the start of the path to the joint: a stochastic lower bound of log p(x)."""
        with self._evaluation():
            noise = self._noise("forward")
            particles = self._path.draw(self.settings.num_chains, noise)
            return self._run(particles, noise, is_upper_bound=False)

    def backward(self, start: Latents) -> AnnealedEstimate:
        """From draws of the posterior p(z | x) to the start of the path: a stochastic upper bound.

        :param start: by site, ``(C, N, *inner, *event)``, a draw for each chain, or ``(1, N,
            *inner, *event)``, one for each sentence, as of a z that was simulated together with it.
            Then the estimate of 1 / p(x) stays unbiased, but its chains are dependent: take its
            error from the spread over independent sentences. From draws that are not the
            posterior's own it is a bound as good as they are.
        """
        count = self.settings.num_chains
        latents = {name: value.expand(count, *value.shape[1:]) for name, value in start.items()}
        with self._evaluation():
            particles = self._path.score(latents)
            return self._run(particles, self._noise("backward"), is_upper_bound=True)

    def approximate_posterior(self, forward: AnnealedEstimate) -> dict[str, Tensor]:
        """Draws from p(z | x), as good as the chains of a forward run that came there.

        Ends of chains are drawn by their weights, and moved on under the posterior itself.
        """
        with self._evaluation():
            noise = self._noise("posterior")
            count = len(forward.log_weights)
            shares = forward.log_weights.softmax(0).nan_to_num(1.0 / count).cumsum(0).T.contiguous()
            places = noise.uniform(count, torch.device("cpu")).T.contiguous()
            index = torch.searchsorted(shares, places).clamp(max=count - 1).T
            particles = self._path.score(forward.latents)
            particles = particles.gathered(index.to(particles.log_prior.device))
            for _ in range(_MOVES_AT_THE_END):
                particles, _ = self._moved(particles, self._at(1.0), noise)
            return particles.latents

    def _evaluation(self) -> Any:
        model, guide = self._path.target.model, self._path.posteriors.guide
        return evaluation_mode(model, guide, 0)

    def _noise(self, purpose: str) -> SentenceNoise:
        return SentenceNoise([seed_of(seed, purpose) for seed in self._seeds])

    def _at(self, fraction: float) -> MoveSettings:
        """The density a fraction of the way along the path, for each sentence."""
        way = fraction * self._lengths.double()
        stage = way.ceil().long().clamp(min=1)
        sentences = torch.arange(len(stage))
        before, after = self._betas[stage - 1, sentences], self._betas[stage, sentences]
        share = (way - (stage - 1)).to(before.device)
        return MoveSettings(
            before + share * (after - before),
            self._steps[stage - 1, :, sentences].T,
            self._units[stage - 1, sentences],
        )

    def _moved(
        self, particles: Particles, settings: MoveSettings, noise: SentenceNoise
    ) -> tuple[Particles, Tensor]:
        """The particles after one of each move, and the mean probability of acceptance."""
        probabilities = []
        for move, step in zip(self._moves, settings.steps, strict=True):
            particles, probability = move(self._path, particles, settings, step, noise)
            probabilities.append(probability.mean(0))
        return particles, torch.stack(probabilities).mean(0)

    def _run(
        self, particles: Particles, noise: SentenceNoise, *, is_upper_bound: bool
    ) -> AnnealedEstimate:
        """Move along the path; a transition at every temperature between the first and the last."""
        fractions = torch.linspace(0, 1, self.settings.num_temperatures + 1).double()
        start, *between, end = (fractions.flip(0) if is_upper_bound else fractions).tolist()
        log_weights = torch.zeros_like(particles.log_start)
        acceptance = torch.zeros_like(log_weights[0])
        before = self._at(start).beta
        for fraction in between:
            settings = self._at(fraction)
            log_weights = log_weights + (settings.beta - before) * particles.log_ratio
            particles, probability = self._moved(particles, settings, noise)
            acceptance = acceptance + probability / len(between)
            before = settings.beta
            self._advance(len(before))
        log_weights = log_weights + (self._at(end).beta - before) * particles.log_ratio
        return AnnealedEstimate(
            log_weights=(-log_weights if is_upper_bound else log_weights).cpu(),
            acceptance=acceptance.cpu(),
            is_upper_bound=is_upper_bound,
            latents=particles.latents,
        )
