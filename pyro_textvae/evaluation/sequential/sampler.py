# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Populations of particles along the steps of each datum, as the draws of a likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pyro_textvae.evaluation.importance.pareto import SMALLEST_SAMPLE, pareto_khat, tail_size
from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.running_weights import Scored, boundaries, num_blocks
from pyro_textvae.evaluation.importance.samplers import Block, Sampler
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.evaluation.sequential.agreement import check_agreement
from pyro_textvae.evaluation.sequential.particle_filter import (
    FilteredParticles,
    Populations,
    run_filter,
)
from pyro_textvae.evaluation.sequential.step_plan import StepPlan
from pyro_textvae.infer.running import device_of, seed_generator

_SHARE_OF_FREE = 8
_FEWEST_FREE = 8


@dataclass
class DatumFacts:
    """What all rounds of particles say of one datum besides their weights.

    tail
        The largest of all weights that were resampled by, less the log of their mean.
    number
        How many of those there were.
    reconstruction, kl
        log p(x | z) and log q(z | x) - log p(z) of the free particles, which are the guide's own.
    """

    tail: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    number: int = 0
    reconstruction: list[Tensor] = field(default_factory=list)
    kl: list[Tensor] = field(default_factory=list)
    differ: bool = False

    def add(self, filtered: FilteredParticles, free: slice) -> None:
        """Take in the particles of a round."""
        self.number += len(filtered.step_weights)
        pool = torch.cat([self.tail, filtered.step_weights])
        self.tail = pool.topk(min(len(pool), tail_size(self.number) + 1)).values
        self.reconstruction.append(filtered.log_likelihood[free])
        self.kl.append((filtered.log_guide - filtered.log_prior)[free])
        self.differ |= filtered.differ

    @property
    def khat(self) -> float:
        """Pareto shape of the tail of the weights of all steps together."""
        if self.number < SMALLEST_SAMPLE:
            return math.nan
        tail = self.tail.clamp(min=torch.finfo(torch.float64).min)
        return pareto_khat(tail.unsqueeze(1)).item()


class SequentialSampler(Sampler):
    """Each block of draws is one population, whose particles depend on one another.

    All populations of a round are run together, and free particles of the guide with them, by which
    the guide's bound is known. Each datum is run alone, for as many steps as it has.

    :param resample_below: see :func:`run_filter`.
    :param facts: of all data, by place; filled by the rounds.
    :param places: of the data of this sampler among them.
    """

    independent = False

    def __init__(
        self,
        target: Target,
        posteriors: GuideDraws,
        plan: StepPlan,
        resample_below: float,
        facts: list[DatumFacts],
        places: list[int],
    ) -> None:
        self.target = target
        self.posteriors = posteriors
        self.plan = plan
        self.resample_below = resample_below
        self.facts = facts
        self.places = places
        self._scored: tuple[int, Scored] | None = None

    def scored(self, block: Block) -> Scored:
        """See :class:`Sampler`."""
        if self._scored is None or self._scored[0] != block.round:
            self._scored = block.round, self._round(block.total, block.round)
        return self._scored[1].rows(torch.arange(block.start, block.stop))

    def rows(self, target: Target, posteriors: GuideDraws, chosen: Tensor) -> SequentialSampler:
        """See :class:`Sampler`."""
        places = [self.places[row] for row in chosen.tolist()]
        return SequentialSampler(
            target, posteriors, self.plan, self.resample_below, self.facts, places
        )

    def _round(self, total: int, number: int) -> Scored:
        ends = boundaries(total, num_blocks(total, independent=False))
        sizes = tuple(torch.tensor(ends).diff().tolist())
        populations = Populations(sizes, max(_FEWEST_FREE, -(-total // _SHARE_OF_FREE)))
        if self.plan.names is None and number == 0:
            check_agreement(self.target, self.posteriors, self.plan)
        seeds = self.posteriors.seeds("sequential", number)
        columns = []
        for row, seed in enumerate(seeds):
            filtered, passes = self._filter(row, seed, populations)
            self.target.costs[row] += math.ceil(populations.num_particles * passes)
            self.facts[self.places[row]].add(filtered, populations.free)
            columns.append(_in_no_order(filtered, populations, seed))
        return Scored(*(torch.stack(scores, 1) for scores in zip(*columns, strict=True)))

    def _filter(
        self, row: int, seed: int, populations: Populations
    ) -> tuple[FilteredParticles, float]:
        """The particles of one datum, and how many times each of them has scored all of it."""
        seed_generator(seed, device_of(self.posteriors.guide))
        model, guide, num_steps = self.plan.programs(
            self.target, self.posteriors, row, populations.num_particles
        )
        filtered = run_filter(
            model,
            guide,
            num_steps,
            populations,
            seed_of(seed, "resampling"),
            resample_below=self.resample_below,
        )
        return filtered, (num_steps + 1) / 2 if model.runs_whole else 1.0


def _in_no_order(
    filtered: FilteredParticles, populations: Populations, seed: int
) -> tuple[Tensor, ...]:
    """The scores of the particles of every population, in an order of its own that says nothing.

    Parts of a population are like the whole only so.
    """
    generator = torch.Generator().manual_seed(seed_of(seed, "order"))
    order = torch.cat(
        [
            part.start + torch.randperm(part.stop - part.start, generator=generator)
            for part in populations.parts
        ]
    )
    joint = filtered.log_likelihood + filtered.log_prior
    columns = (
        filtered.log_likelihood,
        filtered.log_prior,
        # No number where p(x, z) is zero, which counts as nothing all the same.
        (joint - filtered.log_weights).nan_to_num(0.0),
        filtered.log_guide,
    )
    return tuple(column[order] for column in columns)
