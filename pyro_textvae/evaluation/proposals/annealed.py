# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws that go by small steps from a wide distribution to the posterior."""

from __future__ import annotations

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.annealing.coordinates import Coordinates
from pyro_textvae.evaluation.annealing.fitted import FittedComponent
from pyro_textvae.evaluation.annealing.moves import moves_of
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.particles import DensityPath
from pyro_textvae.evaluation.annealing.population import Population, pilot
from pyro_textvae.evaluation.annealing.sampler import AnnealedSampler
from pyro_textvae.evaluation.importance.components import (
    Component,
    FamilyComponent,
    GuideComponent,
    MixtureComponent,
    PriorComponent,
)
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.proposal import Proposal, ProposalTask
from pyro_textvae.evaluation.importance.samplers import Sampler
from pyro_textvae.evaluation.importance.target import Target

_FIRST_THRESHOLD = 0.3
_STRENGTH_OF_GUIDE = 5.0


class AnnealedProposal(Proposal):
    r"""A sequential Monte Carlo sampler, for the sentences that no fixed distribution settles.

    .. math::
        f_b(z) = r(z)^{1 - b} \, p(x, z)^b, \qquad 0 = b_0 < \dots < b_T = 1

    Particles are drawn from r, a mixture of a distribution fitted to the posterior, of the guide
    and of the prior, and moved along the densities f_b, by Hamiltonian Monte Carlo where latents
    are real numbers, by a random walk on spheres, and by further draws from r where there are any
    others. It works for any guide; one that cannot score a draw of others has no part in r.

    The fit is to particles that were annealed from the guide and the prior; then pilot particles
    annealed from r find the densities and the step sizes. Neither are among those that are
    weighted: the estimate of p(x) is unbiased. Each block of the draws is a population of
    particles, and the standard error is that between blocks.

    Source: Del Moral, Doucet and Jasra (2006), Sequential Monte Carlo samplers,
    https://doi.org/10.1111/j.1467-9868.2006.00553.x.

    :param threshold: the next density is so close that the effective sample size of the weights
        between them is this share of the particles.
    :param pilot_particles: for the fit, and again for densities and step sizes.
    :param leapfrog_steps: of a Hamiltonian move; each takes a gradient for each particle.
    :param factor: what the scales of the fit and of the guide are multiplied by.
    :param guide_share: of r, where the guide can score any draw.
    :param prior_share: of r, where the prior can be drawn from.
    """

    def __init__(
        self,
        threshold: float = 0.7,
        pilot_particles: int = 32,
        leapfrog_steps: int = 2,
        factor: float = 1.1,
        guide_share: float = 0.2,
        prior_share: float = 0.1,
    ) -> None:
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must lie in (0, 1), got {threshold}")
        for name, number, least in (
            ("pilot_particles", pilot_particles, 4),
            ("leapfrog_steps", leapfrog_steps, 1),
        ):
            if not isinstance(number, int) or number < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {number}")
        if not 0 < factor < float("inf"):
            raise ValueError(f"factor must be positive and finite, got {factor}")
        for name, share in (("guide_share", guide_share), ("prior_share", prior_share)):
            if not 0 < share < 1:
                raise ValueError(f"{name} must lie in (0, 1), got {share}")
        if guide_share + prior_share >= 1:
            raise ValueError(
                "guide_share and prior_share must leave a share to the fit, got "
                f"{guide_share} and {prior_share}"
            )
        self.threshold = threshold
        self.pilot_particles = pilot_particles
        self.leapfrog_steps = leapfrog_steps
        self.factor = factor
        self.guide_share = guide_share
        self.prior_share = prior_share

    def sampler(self, task: ProposalTask) -> Sampler:
        """See :class:`Proposal`."""
        assert isinstance(task.posteriors, Posteriors)
        return self.start(
            task.target, task.posteriors, task.num_samples, quasi_random=task.quasi_random
        )

    def start(
        self,
        target: Target,
        posteriors: Posteriors,
        num_samples: int,
        *,
        quasi_random: bool = False,
    ) -> AnnealedSampler:
        """The sampler for any guide; see :class:`Proposal`.

        :raises UserError: under ``torch.inference_mode()``, and for a guide that cannot score draws
            with a prior that cannot be drawn from.
        """
        self.require_gradients()
        coordinates = Coordinates.of(posteriors)
        moves = moves_of(coordinates, self.leapfrog_steps)
        start, guide = self._before_fit(target, posteriors, quasi_random)
        path = DensityPath(target, posteriors, start, coordinates)
        can_fit = _can_fit(posteriors, coordinates)
        if can_fit:
            noise = SentenceNoise(posteriors.seeds("fit"))
            _, population = pilot(
                path,
                moves,
                self.pilot_particles,
                noise,
                threshold=_FIRST_THRESHOLD,
                passes=1,
                moves_at_end=True,
            )
            fit = _fit(posteriors, population, self.factor)
            rest = self.guide_share + self.prior_share
            start = MixtureComponent([(fit, 1 - rest), (start, rest)])
            path = DensityPath(target, posteriors, start, coordinates)
        noise = SentenceNoise(posteriors.seeds("pilot"))
        schedule, _ = pilot(
            path,
            moves,
            self.pilot_particles,
            noise,
            threshold=self.threshold,
            passes=2,
            moves_at_end=False,
        )
        return AnnealedSampler(path, moves, schedule, guide)

    def falls_back(self, posteriors: Posteriors) -> str | None:
        """See :class:`Proposal`."""
        if posteriors.family is not None or GuideComponent.of(posteriors) is not None:
            return None
        return (
            "the guide has a flow without an inverse, which scores no draw but its own: annealing "
            "starts from the prior alone, and the guide's bound is not known"
        )

    def _before_fit(
        self, target: Target, posteriors: Posteriors, quasi_random: bool
    ) -> tuple[Component, Component | None]:
        """A mixture of guide and prior, and what scores draws as the guide itself would."""
        parts: list[tuple[Component, float]] = []
        guide: Component | None
        if posteriors.family is not None:
            vector, family = posteriors.vector, posteriors.family
            guide = FamilyComponent(vector, family)
            wide = FamilyComponent(vector, family.widened(self.factor), quasi_random=quasi_random)
            parts.append((wide, self.guide_share))
        else:
            guide = GuideComponent.of(posteriors)
            if guide is not None:
                parts.append((guide, self.guide_share))
        prior = PriorComponent.of(target, posteriors)
        if prior is not None:
            parts.append((prior, self.prior_share))
        if not parts:
            raise UserError(
                "the annealed proposal needs a guide that scores any draw or a prior that can be "
                "drawn from, and this pair has neither: use --proposal guide"
            )
        total = sum(share for _, share in parts)
        return MixtureComponent([(part, share / total) for part, share in parts]), guide


def _can_fit(posteriors: Posteriors, coordinates: Coordinates) -> bool:
    """Whether there is a family to fit: one on the sphere, or a Gaussian over all latents."""
    if coordinates.others or coordinates.are_nested or posteriors.is_masked:
        return False
    return posteriors.family is not None or not coordinates.spheres


def _fit(posteriors: Posteriors, population: Population, factor: float) -> Component:
    coordinates = population.particles.coordinates
    if not coordinates.spheres:
        return FittedComponent.to(population, factor)
    assert posteriors.family is not None
    z = population.particles.latents[posteriors.site]
    shares = population.log_weights.softmax(0)
    fitted = posteriors.family.fitted(z, shares, _STRENGTH_OF_GUIDE)
    return FamilyComponent(posteriors.vector, fitted.widened(factor))
