# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Scored draws of the latents of a batch, from the guide or from a mixture of proposals."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_textvae.evaluation.importance.components import Component
from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.running_weights import Scored
from pyro_textvae.evaluation.importance.target import JointLogProb, Latents, Target


class Block(NamedTuple):
    """Draws ``start`` to ``stop`` of the ``total`` draws of a round."""

    start: int
    stop: int
    total: int
    number: int
    """The number of the block in the round."""
    round: int


class Sampler(ABC):
    """Where the draws of a batch come from.

    For every sentence, the mean of exp(log p(x, z) - log_proposal) over a round is an unbiased
    estimate of p(x).
    """

    independent: bool = True
    """Whether the draws of a block are independent of one another, as those of blocks are."""

    @abstractmethod
    def scored(self, block: Block) -> Scored:
        """The draws of a block, ``block.stop - block.start`` for each sentence."""

    @abstractmethod
    def rows(self, target: Target, posteriors: GuideDraws, chosen: Tensor) -> Sampler:
        """The sampler of some of the sentences, for further rounds.

        :param target: of those sentences; likewise ``posteriors``.
        """


class GuideSampler(Sampler):
    """Draws by running the guide itself, whatever it is."""

    def __init__(self, target: Target, posteriors: GuideDraws) -> None:
        self.target = target
        self.posteriors = posteriors

    def scored(self, block: Block) -> Scored:
        """See :class:`Sampler`."""
        return self.drawn(block)[1]

    def drawn(self, block: Block) -> tuple[dict[str, Tensor], Scored]:
        """The draws themselves, with their scores."""
        count = block.stop - block.start
        # A number of its own for every block of every round.
        latents, log_guide = self.posteriors.sample(count, block.round * block.total + block.start)
        return latents, _scored(self.target(latents), log_guide, log_guide)

    def rows(self, target: Target, posteriors: GuideDraws, chosen: Tensor) -> GuideSampler:
        """See :class:`Sampler`."""
        return GuideSampler(target, posteriors)


class MixtureSampler(Sampler):
    """Fixed numbers of draws from each of some distributions, weighted by the balance heuristic.

    Each draw is weighted by the density of the whole mixture, whichever component made it: the
    mean weight is unbiased as long as no component depends on the draws.

    Source: Veach and Guibas (1995), Optimally combining sampling techniques, section 3.2,
    https://doi.org/10.1145/218380.218498.

    :param components: distributions and their numbers of draws, out of ``total`` a round.
    :param guide: the guide's own posterior, for what is averaged under it.
    :param made: draws ``(latents, scores)`` of the first component that are there already, as many
        as it has in the first round.
    :param purpose: tells these draws from those of other samplers of the same sentences.
    """

    def __init__(
        self,
        target: Target,
        posteriors: GuideDraws,
        components: Sequence[tuple[Component, int]],
        guide: Component,
        *,
        made: tuple[Latents, JointLogProb] | None = None,
        purpose: str = "",
    ) -> None:
        self.target = target
        self.posteriors = posteriors
        self.components = [part for part in components if part[1] > 0]
        self.guide = guide
        self.made = made
        self.purpose = purpose
        self._spread = _Spread([count for _, count in self.components])

    def scored(self, block: Block) -> Scored:
        """See :class:`Sampler`."""
        return self.drawn(block)[1]

    def drawn(self, block: Block) -> tuple[dict[str, Tensor], Scored]:
        """The draws themselves, with their scores."""
        values: list[Latents] = []
        joints = []
        places, order = self._spread.of(block)
        for number, (component, _) in enumerate(self.components):
            start, stop = places[number]
            if start == stop:
                continue
            if number == 0 and block.round == 0 and self.made is not None:
                made, scores = self.made
                values.append({name: value[start:stop] for name, value in made.items()})
                joints.append(JointLogProb(*(value[start:stop] for value in scores)))
                continue
            seeds = self.posteriors.seeds("mixture", self.purpose, number, block.round, start)
            latents = component.sample(stop - start, seeds)
            values.append(latents)
            joints.append(self.target(latents))
        latents = {name: torch.cat([part[name] for part in values])[order] for name in values[0]}
        joint = JointLogProb(*(torch.cat(column)[order] for column in zip(*joints, strict=True)))
        log_guide = self.guide.log_prob(latents, joint)
        log_density = self._log_density(latents, joint, log_guide)
        return latents, _scored(joint, log_density, log_guide)

    def rows(self, target: Target, posteriors: GuideDraws, chosen: Tensor) -> MixtureSampler:
        """See :class:`Sampler`."""
        guide = self.guide.rows(chosen, target, posteriors)
        components = [
            (guide if part is self.guide else part.rows(chosen, target, posteriors), count)
            for part, count in self.components
        ]
        return MixtureSampler(target, posteriors, components, guide, purpose=self.purpose)

    def _log_density(self, latents: Latents, joint: JointLogProb, log_guide: Tensor) -> Tensor:
        if [part for part, _ in self.components] == [self.guide]:
            return log_guide
        total = sum(count for _, count in self.components)
        parts = [
            math.log(count / total)
            + (log_guide if part is self.guide else part.log_prob(latents, joint))
            for part, count in self.components
        ]
        return torch.stack(parts).logsumexp(0)


class JoinedSampler(Sampler):
    """Several samplers, each with its own share of the draws.

    :param parts: samplers and their numbers of draws in a round.
    """

    def __init__(self, parts: Sequence[tuple[Sampler, int]]) -> None:
        self.parts = parts
        self.independent = all(sampler.independent for sampler, _ in parts)
        self._spread = _Spread([count for _, count in parts])

    def scored(self, block: Block) -> Scored:
        """See :class:`Sampler`."""
        scored = []
        places, order = self._spread.of(block)
        for (sampler, count), (start, stop) in zip(self.parts, places, strict=True):
            if start < stop:
                scored.append(sampler.scored(Block(start, stop, count, block.number, block.round)))
        return Scored.cat(scored).rows(order)

    def rows(self, target: Target, posteriors: GuideDraws, chosen: Tensor) -> JoinedSampler:
        """See :class:`Sampler`."""
        return JoinedSampler(
            [(sampler.rows(target, posteriors, chosen), count) for sampler, count in self.parts]
        )


class _Spread:
    """Groups of draws in one order that spreads each evenly over a round.

    Any stretch of it holds its share of every group: parts of the draws are like the whole.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        places = torch.cat([(torch.arange(count) + 0.5) / max(count, 1) for count in counts])
        groups = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        self._groups = groups[places.argsort(stable=True)]
        self._count = len(counts)

    def of(self, block: Block) -> tuple[list[tuple[int, int]], Tensor]:
        """Which draws of each group a block has, and where they go, one group after the other."""
        before = self._groups[: block.start].bincount(minlength=self._count)
        in_block = self._groups[block.start : block.stop]
        after = before + in_block.bincount(minlength=self._count)
        order = in_block.argsort(stable=True).argsort()
        return list(zip(before.tolist(), after.tolist(), strict=True)), order


def _scored(joint: JointLogProb, log_proposal: Tensor, log_guide: Tensor) -> Scored:
    return Scored(joint.log_likelihood, joint.log_prior, log_proposal, log_guide)
