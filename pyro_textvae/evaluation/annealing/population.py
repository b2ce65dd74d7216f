# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sequential Monte Carlo along a path: one population of particles for each sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.evaluation.annealing.curvature import closest_gaussian
from pyro_textvae.evaluation.annealing.moves import Move, MoveSettings
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.particles import DensityPath, Particles
from pyro_textvae.evaluation.importance.resampling import (
    number_that_counts,
    systematic_ancestors,
)

_RESAMPLE_BELOW = 0.5
_MOST_DENSITIES = 60
_ADAPTATION_RATE = 2.0


@dataclass(frozen=True)
class Schedule:
    """What a run along a path does, for each of N sentences; found by a pilot run.

    lengths
        How many densities after the first there are, ``(N,)``; the last of them is the joint.
    stages
        Which they are, and how to move there; those beyond a sentence's length say nothing.
    """

    lengths: Tensor
    stages: list[MoveSettings]

    def rows(self, chosen: Tensor) -> Schedule:
        """That of some of the sentences."""
        return Schedule(self.lengths[chosen], [stage.rows(chosen) for stage in self.stages])


@dataclass(frozen=True)
class Population:
    """Particles at the end of the path, and their log-weights ``(C, N)``, float64.

    The mean of exp(log_weights) over the particles is unbiased for p(x).
    """

    particles: Particles
    log_weights: Tensor


def run_population(
    path: DensityPath, moves: Sequence[Move], schedule: Schedule, count: int, noise: SentenceNoise
) -> Population:
    r"""Take ``count`` particles of each sentence from the start of the path to the joint.

    .. math::
        \hat p(x) = \prod_{t=1}^{T} \sum_c W_{t-1}^c
        \left(\frac{p(x, z_{t-1}^c)}{r(z_{t-1}^c)}\right)^{b_t - b_{t-1}}

    Where the effective sample size of the weights falls below half, particles are drawn by them,
    and each has from then on the mean weight: the estimate of p(x) stays unbiased, as long as the
    schedule does not depend on these particles.

    Source: Del Moral, Doucet and Jasra (2006), Sequential Monte Carlo samplers,
    https://doi.org/10.1111/j.1467-9868.2006.00553.x.
    """
    finished: list[tuple[Tensor, Population]] = []
    straight, rows = _split(schedule.lengths == 1)
    if len(straight):
        # Nothing is moved, so that no gradient is needed.
        some, stream = path.rows(straight), noise.rows(straight)
        particles = some.draw(count, stream, with_gradients=False)
        finished.append((straight, Population(particles, particles.log_ratio)))
    if not len(rows):
        return _joined(finished)
    path, noise = path.rows(rows), noise.rows(rows)
    particles = path.draw(count, noise)
    log_weights = torch.zeros_like(particles.log_start)
    before = torch.zeros_like(log_weights[0])
    for number, stage in enumerate(schedule.stages, start=1):
        stage = stage.rows(rows)
        log_weights = log_weights + (stage.beta - before) * particles.log_ratio
        done, left = _split(schedule.lengths[rows] == number)
        finished.append((rows[done], Population(particles.rows(done), log_weights[:, done])))
        if not len(left):
            break
        if len(done):
            rows, noise, path = rows[left], noise.rows(left), path.rows(left)
            particles, log_weights = particles.rows(left), log_weights[:, left]
            stage = stage.rows(left)
        particles, log_weights = resampled(particles, log_weights, noise)
        for move, step in zip(moves, stage.steps, strict=True):
            particles, _ = move(path, particles, stage, step, noise)
        before = stage.beta
    return _joined(finished)


def pilot(
    path: DensityPath,
    moves: Sequence[Move],
    count: int,
    noise: SentenceNoise,
    *,
    threshold: float,
    passes: int,
    moves_at_end: bool,
) -> tuple[Schedule, Population]:
    """Find a schedule for each sentence by a run of its own.

    The next density is as far off as the conditional effective sample size of the particles stays
    at a share of their number; step sizes follow the probabilities of acceptance; the units are
    those of the Gaussian closest to the density.

    Source: Zhou, Johansen and Aston (2016), Towards automatic model comparison: an adaptive
    sequential Monte Carlo approach, https://arxiv.org/abs/1303.3123.

    :param threshold: that share.
    :param passes: how often all moves are made at each density.
    :param moves_at_end: whether at the last one too.
    :returns: the schedule, and the particles, which no estimate may contain.
    """
    particles = path.draw(count, noise)
    log_weights = torch.zeros_like(particles.log_start)
    size = log_weights.shape[1]
    rows = torch.arange(size)
    beta = torch.zeros_like(log_weights[0])
    steps = torch.stack([torch.full_like(beta, move.first_step) for move in moves])
    # Coordinates that another batch may lack must not change those that it has.
    full = not path.coordinates.are_nested
    lengths = torch.zeros(size, dtype=torch.long)
    stages: list[MoveSettings] = []
    finished: list[tuple[Tensor, Population]] = []
    while True:
        before, beta = beta, _next_beta(beta, particles.log_ratio, log_weights, threshold)
        if len(stages) + 1 == _MOST_DENSITIES:
            beta = torch.ones_like(beta)
        log_weights = log_weights + (beta - before) * particles.log_ratio
        gradient = particles.path_gradient(beta)
        _, units = closest_gaussian(particles.z, gradient, log_weights, full=full)
        stage = MoveSettings(beta, steps, units)
        of_all = _of_all(stage, rows, size)
        stages.append(of_all)
        done, left = _split(beta >= 1)
        if len(done):
            population = Population(particles.rows(done), log_weights[:, done])
            if moves_at_end:
                population, _ = _adapted(
                    population, path.rows(done), moves, stage.rows(done), noise.rows(done), passes
                )
            lengths[rows[done]] = len(stages)
            finished.append((rows[done], population))
            if not len(left):
                break
            rows, beta, stage = rows[left], beta[left], stage.rows(left)
            particles, log_weights = particles.rows(left), log_weights[:, left]
            path, noise = path.rows(left), noise.rows(left)
        population = Population(particles, log_weights)
        population, steps = _adapted(population, path, moves, stage, noise, passes)
        particles, log_weights = population.particles, population.log_weights
        of_all.steps[:, rows] = steps
    return Schedule(lengths, stages), _joined(finished)


def resampled(
    particles: Particles, log_weights: Tensor, noise: SentenceNoise
) -> tuple[Particles, Tensor]:
    """Systematic resampling of the sentences whose weights are uneven, in place of the weights."""
    count = len(log_weights)
    uneven = number_that_counts(log_weights) < _RESAMPLE_BELOW * count
    offset = noise.uniform(1, log_weights.device)
    index = systematic_ancestors(log_weights, offset)
    same = torch.arange(count, device=offset.device).unsqueeze(1).expand_as(index)
    mean = log_weights.logsumexp(0) - math.log(count)
    return (
        particles.gathered(torch.where(uneven, index, same)),
        torch.where(uneven, mean, log_weights),
    )


def _adapted(
    population: Population,
    path: DensityPath,
    moves: Sequence[Move],
    stage: MoveSettings,
    noise: SentenceNoise,
    passes: int,
) -> tuple[Population, Tensor]:
    """The population after all moves, and step sizes that accept more nearly as wanted."""
    particles, log_weights = resampled(population.particles, population.log_weights, noise)
    steps = list(stage.steps)
    for repeated in range(passes):
        rate = _ADAPTATION_RATE / (1 + repeated)
        for number, move in enumerate(moves):
            particles, probability = move(path, particles, stage, steps[number], noise)
            if move.wanted_acceptance is not None:
                surplus = probability.mean(0) - move.wanted_acceptance
                steps[number] = steps[number] * (rate * surplus).exp()
    return Population(particles, log_weights), torch.stack(steps)


def _next_beta(beta: Tensor, log_ratio: Tensor, log_weights: Tensor, threshold: float) -> Tensor:
    """The largest beta up to 1 that keeps the conditional effective sample size, by bisection."""
    shares = log_weights.log_softmax(0)

    def is_near(new: Tensor) -> Tensor:
        change = (new - beta) * log_ratio
        first, second = (shares + change).logsumexp(0), (shares + 2 * change).logsumexp(0)
        return (2 * first - second).exp() >= threshold

    low, high = beta, torch.ones_like(beta)
    all_the_way = is_near(high)
    for _ in range(40):
        middle = 0.5 * (low + high)
        near = is_near(middle)
        low, high = torch.where(near, middle, low), torch.where(near, high, middle)
    # Where not even a small step is near, as where p(x, z) is zero, a small one is made.
    low = torch.maximum(low, beta + 1e-3 * (1 - beta))
    return torch.where(all_the_way, 1.0, low)


def _of_all(stage: MoveSettings, rows: Tensor, size: int) -> MoveSettings:
    """The settings of sentences ``rows`` as those of all; the others' are ones."""
    beta, steps = stage.beta.new_ones(size), stage.steps.new_ones(len(stage.steps), size)
    units = stage.units.new_ones(size, *stage.units.shape[1:])
    beta[rows], steps[:, rows] = stage.beta, stage.steps
    units[rows] = stage.units
    return MoveSettings(beta, steps, units)


def _split(done: Tensor) -> tuple[Tensor, Tensor]:
    """The places of sentences that are done, and of those that are not."""
    done = done.cpu()
    return done.nonzero().squeeze(1), (~done).nonzero().squeeze(1)


def _joined(parts: Sequence[tuple[Tensor, Population]]) -> Population:
    """The populations of all sentences, by place."""
    order = torch.cat([rows for rows, _ in parts]).argsort()
    particles = Particles.joined([population.particles for _, population in parts]).rows(order)
    log_weights = torch.cat([population.log_weights for _, population in parts], 1)[:, order]
    return Population(particles, log_weights)
