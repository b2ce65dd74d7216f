# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Populations of particles that go from step to step of one datum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pyro_textvae.evaluation.importance.resampling import (
    number_that_counts,
    systematic_ancestors,
)
from pyro_textvae.evaluation.importance.resolution import Resolution
from pyro_textvae.evaluation.sequential.programs import START, SteppedProgram, StepSites


@dataclass(frozen=True)
class Populations:
    """How many particles each population has, and how many more go on by themselves.

    sizes
        Of the populations, each of which is resampled by itself.
    num_free
        Particles that are never resampled: independent draws from the guide.
    """

    sizes: tuple[int, ...]
    num_free: int

    @property
    def num_particles(self) -> int:
        """Of all particles."""
        return sum(self.sizes) + self.num_free

    @property
    def parts(self) -> list[slice]:
        """The places of each population."""
        ends = torch.tensor([0, *self.sizes]).cumsum(0).tolist()
        return [slice(*pair) for pair in pairwise(ends)]

    @property
    def by_size(self) -> list[Tensor]:
        """The places of the populations of each size, ``(size, number of them)``."""
        parts = [torch.arange(part.start, part.stop) for part in self.parts]
        return [
            torch.stack([places for places in parts if len(places) == size], 1)
            for size in sorted(set(self.sizes))
        ]

    @property
    def free(self) -> slice:
        """The places of those that are never resampled, which are the last."""
        return slice(sum(self.sizes), self.num_particles)


@dataclass(frozen=True)
class FilteredParticles:
    """What is known of all particles after the last step, ``(K,)`` float64 each.

    log_weights
        The mean of their exponentials over a population is an unbiased estimate of p(x); so is that
        over the free particles.
    log_likelihood, log_prior, log_guide
        log p(x | z), log p(z) and log q(z | x) of the latents of each particle, by which it came.
    step_weights
        The log-weights of a population, less the log of their mean, wherever it was resampled, and
        after the last step, in one.
    differ
        Whether the draws of every step could be told apart.
    history
        The latents of every step, ``(K, 1, *inner, *event)``, and the places that the particles
        of the next step came from; None where they were not kept.
    """

    log_weights: Tensor
    log_likelihood: Tensor
    log_prior: Tensor
    log_guide: Tensor
    step_weights: Tensor
    differ: bool
    history: list[tuple[dict[str, Tensor], Tensor | None]] | None

    def latents(self, places: Tensor) -> list[dict[str, Tensor]]:
        """Those of each step, by which the particles at ``places`` came to the last."""
        assert self.history is not None
        steps = []
        for latents, ancestors in reversed(self.history):
            if ancestors is not None:
                places = ancestors[places]
            steps.append({name: value[places] for name, value in latents.items()})
        return steps[::-1]


def run_filter(
    model: SteppedProgram,
    guide: SteppedProgram,
    num_steps: int,
    populations: Populations,
    seed: int,
    *,
    resample_below: float,
    keeps_history: bool = False,
) -> FilteredParticles:
    r"""Take particles through all steps, with the guide as the proposal.

    .. math::
        \hat p(x) = \prod_t \sum_k W_{t-1}^k w_t^k, \qquad
        w_t = \frac{p(z_t \mid z_{<t}, x_{<t}) \, p(x_t \mid z_{\le t}, x_{<t})}
        {q(z_t \mid z_{<t}, x)} \left(\frac{p(z_0)}{q(z_0 \mid x)}\right)^{1 / T}

    z_0 is what is drawn before the first of T steps, of the datum as a whole. Its weight is spread
    over the steps: the guide draws it from what all of the text says of it, and by p / q alone the
    particles that explain the text best would be the first to go.

    Where the effective number of a population's weights is below ``resample_below`` of its size,
    its particles are drawn anew by them, systematically, and each has the mean weight from then on.
    Given the particles before, the mean weight is kept in expectation: the estimate is unbiased.

    Source: Doucet and Johansen (2011), A tutorial on particle filtering and smoothing, section 4,
    https://www.stats.ox.ac.uk/~doucet/doucet_johansen_tutorialPF2011.pdf.

    :param seed: of the places that are resampled; the draws are by the global generator.
    :param keeps_history: whether the latents of all steps are kept, in memory that grows with them.
    """
    generator = torch.Generator().manual_seed(seed)
    everyone = torch.arange(populations.num_particles)
    zero = torch.zeros(populations.num_particles, dtype=torch.float64)
    log_weights = log_likelihood = log_prior = log_guide = of_start = zero
    groups = populations.by_size
    step_weights: list[Tensor] = []
    history: list[tuple[dict[str, Tensor], Tensor | None]] = []
    differ = True
    for t in range(START, num_steps):
        drawn = guide.run(t, {})
        scored = model.run(t, drawn.values)
        differ &= _differ(drawn)
        gain = (scored.log_latent + scored.log_observed - drawn.log_latent).cpu()
        log_likelihood = log_likelihood + scored.log_observed.cpu()
        log_prior = log_prior + scored.log_latent.cpu()
        log_guide = log_guide + drawn.log_latent.cpu()
        if t == START:
            of_start = gain / num_steps
        else:
            # What is not a number is a draw where p(x, z) is zero.
            log_weights = (log_weights + gain + of_start).nan_to_num(-math.inf, posinf=math.inf)
        ancestors = None
        for places in groups if t > START else ():
            own = log_weights[places]
            mean = own.logsumexp(0) - math.log(len(own))
            is_last = t == num_steps - 1
            uneven = number_that_counts(own) < resample_below * len(own)
            uneven = torch.ones_like(uneven) if is_last else uneven & mean.isfinite()
            if not uneven.any():
                continue
            places, own, mean = places[:, uneven], own[:, uneven], mean[uneven]
            step_weights.append((own - mean)[:, mean.isfinite()].flatten())
            if is_last:
                continue
            offset = torch.rand(1, own.shape[1], generator=generator, dtype=torch.float64)
            if ancestors is None:
                ancestors, log_weights = everyone.clone(), log_weights.clone()
            ancestors[places] = places.gather(0, systematic_ancestors(own, offset))
            log_weights[places] = mean.expand_as(own)
        if keeps_history:
            history.append((drawn.latents, ancestors))
        if ancestors is not None:
            log_likelihood, log_prior = log_likelihood[ancestors], log_prior[ancestors]
            log_guide, of_start = log_guide[ancestors], of_start[ancestors]
            for program in (model, guide):
                program.go_on_from(ancestors.to(scored.log_latent.device))
    return FilteredParticles(
        log_weights,
        log_likelihood,
        log_prior,
        log_guide,
        torch.cat(step_weights),
        differ,
        history if keeps_history else None,
    )


def _differ(drawn: StepSites) -> bool:
    resolution = Resolution(drawn.posteriors, 1)
    resolution.look(drawn.latents)
    return not bool(resolution.lost.any())
