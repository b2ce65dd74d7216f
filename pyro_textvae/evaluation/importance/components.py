# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Distributions over all latents of a sentence that a proposal can be made of."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyro
import torch
from pyro import poutine
from torch import Tensor

from pyro_textvae.contract import PARTICLE_PLATE
from pyro_textvae.evaluation.families import Family
from pyro_textvae.evaluation.families.family import seeded_generators
from pyro_textvae.evaluation.importance.latent_vector import LatentVector
from pyro_textvae.evaluation.importance.posteriors import GuideDraws, Posteriors
from pyro_textvae.evaluation.importance.target import JointLogProb, Latents, Target
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.infer.running import to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites


class Component(ABC):
    """A distribution over all latents of each of N sentences jointly.

    Draws take a seed for each sentence, so that a sentence's numbers do not depend on the batch it
    is in. Two components that are to draw independently need other seeds.
    """

    @abstractmethod
    def sample(self, count: int, seeds: Sequence[int]) -> dict[str, Tensor]:
        """``(count, N, *inner, *event)`` of every latent site."""

    @abstractmethod
    def log_prob(self, latents: Latents, joint: JointLogProb) -> Tensor:
        """Log-density of the latents, ``(K, N)``, with gradients where they are asked for.

        :param joint: what the model says of them.
        """

    @abstractmethod
    def rows(self, chosen: Tensor, target: Target, posteriors: GuideDraws) -> Component:
        """Those of some of the sentences.

        :param target: of those sentences; likewise ``posteriors``.
        """


class FamilyComponent(Component):
    """A distribution over all latents as one vector.

    :param quasi_random: whether its draws come from a low-discrepancy sequence.
    """

    def __init__(self, vector: LatentVector, family: Family, *, quasi_random: bool = False) -> None:
        self.vector = vector
        self.family = family
        self.quasi_random = quasi_random

    def sample(self, count: int, seeds: Sequence[int]) -> dict[str, Tensor]:
        """See :class:`Component`."""
        return self.vector.apart(self.family.sample(count, seeds, quasi_random=self.quasi_random))

    def log_prob(self, latents: Latents, joint: JointLogProb) -> Tensor:
        """See :class:`Component`."""
        return self.family.log_prob(self.vector.joined(latents))

    def rows(self, chosen: Tensor, target: Target, posteriors: GuideDraws) -> FamilyComponent:
        """See :class:`Component`."""
        return FamilyComponent(
            self.vector, self.family.rows(chosen), quasi_random=self.quasi_random
        )


class GuideComponent(Component):
    """The guide, whatever it is, as long as it can score latents that it has not drawn."""

    def __init__(self, posteriors: GuideDraws) -> None:
        self.posteriors = posteriors

    @classmethod
    def of(cls, posteriors: GuideDraws) -> GuideComponent | None:
        """The component of a guide; None for a flow that has no inverse."""
        component = cls(posteriors)
        latents, _ = posteriors.run(1, posteriors.seeds("score"))
        try:
            posteriors.log_prob({name: value.clone() for name, value in latents.items()})
        except (NotImplementedError, KeyError):  # the latter of Pyro's flows without an inverse
            return None
        return component

    def sample(self, count: int, seeds: Sequence[int]) -> dict[str, Tensor]:
        """See :class:`Component`."""
        latents, _ = self.posteriors.run(count, seeds)
        return latents

    def log_prob(self, latents: Latents, joint: JointLogProb) -> Tensor:
        """See :class:`Component`."""
        return self.posteriors.log_prob(latents)

    def rows(self, chosen: Tensor, target: Target, posteriors: GuideDraws) -> GuideComponent:
        """See :class:`Component`."""
        return GuideComponent(posteriors)


class MixtureComponent(Component):
    """Several components, each with a share of the draws.

    How many draws come from each is rounded at random, so that every draw has the density of the
    whole mixture, and so that the numbers are as close to the shares as they can be.

    :param parts: components and their shares, which sum to one.
    """

    def __init__(self, parts: Sequence[tuple[Component, float]]) -> None:
        self.parts = [part for part in parts if part[1] > 0]

    def sample(self, count: int, seeds: Sequence[int]) -> dict[str, Tensor]:
        """See :class:`Component`."""
        shares = torch.tensor([share for _, share in self.parts], dtype=torch.float64)
        generators = seeded_generators(seeds, torch.device("cpu"))
        offsets = torch.stack([torch.rand((), generator=g).double() for g in generators])
        places = (torch.arange(count).unsqueeze(1) + offsets) / count  # (K, N)
        ends = shares.cumsum(0)[:-1]
        labels = torch.bucketize(places, ends)
        drawn = [
            component.sample(int(share * count) + 1, [seed_of(seed, part) for seed in seeds])
            for part, (component, share) in enumerate(self.parts)
        ]
        # Where the draws of a part begin among those of all.
        lengths = [len(next(iter(latents.values()))) for latents in drawn]
        starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)
        before = torch.stack([(labels < part).sum(0) for part in range(len(lengths))])  # (C, N)
        index = torch.arange(count).unsqueeze(1) - before.gather(0, labels) + starts[labels]
        # In an order that says nothing: any number of the draws is then like all of them.
        order = torch.stack([torch.randperm(count, generator=g) for g in generators], 1)
        index = index.gather(0, order)
        columns = torch.arange(len(seeds))
        return {
            name: torch.cat([latents[name] for latents in drawn])[index, columns]
            for name in drawn[0]
        }

    def log_prob(self, latents: Latents, joint: JointLogProb) -> Tensor:
        """See :class:`Component`."""
        parts = [
            math.log(share) + component.log_prob(latents, joint) for component, share in self.parts
        ]
        return torch.stack(parts).logsumexp(0)

    def rows(self, chosen: Tensor, target: Target, posteriors: GuideDraws) -> MixtureComponent:
        """See :class:`Component`."""
        return MixtureComponent(
            [(component.rows(chosen, target, posteriors), share) for component, share in self.parts]
        )


class PriorComponent(Component):
    """The prior of the model: a share of it bounds every weight by p(x | z) over that share.

    Draws come from the model, run for each sentence with its text observed.

    Source: Hesterberg (1995), Weighted average importance sampling and defensive mixture
    distributions, https://doi.org/10.1080/00401706.1995.10484303.
    """

    def __init__(self, target: Target, posteriors: GuideDraws) -> None:
        self.target = target
        self.posteriors = posteriors

    @classmethod
    def of(cls, target: Target, posteriors: GuideDraws) -> PriorComponent | None:
        """The component of a model; None where its prior has a density and no draws."""
        component = cls(target, posteriors)
        try:
            component.sample(1, posteriors.seeds("score"))
        except NotImplementedError:
            return None
        return component

    def sample(self, count: int, seeds: Sequence[int]) -> dict[str, Tensor]:
        """See :class:`Component`."""
        model, plates = self.target.model, self.posteriors.plates
        rows = []
        for sentence, seed in zip(self.posteriors.sentences, seeds, strict=True):
            torch.manual_seed(seed)
            fields = fields_of(model, to_device(sentence, model))
            with torch.no_grad(), pyro.plate(PARTICLE_PLATE, count, dim=plates.particle_dim):
                trace = poutine.trace(model).get_trace(**fields)
            rows.append({n: plates.datum_first(n, s["value"]) for n, s in latent_sites(trace)})
        return self.posteriors.joined(rows)

    def log_prob(self, latents: Latents, joint: JointLogProb) -> Tensor:
        """See :class:`Component`."""
        return joint.log_prior

    def rows(self, chosen: Tensor, target: Target, posteriors: GuideDraws) -> PriorComponent:
        """See :class:`Component`."""
        return PriorComponent(target, posteriors)


def sites_without_prior_draws(posteriors: Posteriors) -> list[str]:
    """Names of the latent sites whose prior has a density and no draws."""
    sites = []
    for name, (_, prior) in posteriors.distributions.items():
        try:
            prior.sample()
        except NotImplementedError:
            sites.append(name)
    return sites
