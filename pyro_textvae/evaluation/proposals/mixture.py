# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws from what is fitted to rounds of earlier draws, of the refined guide and the prior."""

from __future__ import annotations

import math

from torch import Tensor

from pyro_textvae.evaluation.families import Family, GaussianFamily, GaussianMixtureFamily
from pyro_textvae.evaluation.importance.other_modes import other_modes
from pyro_textvae.evaluation.importance.pilot import PilotDraws, PilotFit
from pyro_textvae.evaluation.importance.proposal import Proposal, ProposalTask
from pyro_textvae.evaluation.importance.samplers import Sampler
from pyro_textvae.evaluation.proposals.refined import RefinedProposal

MOST_DIMENSIONS = 8
"""Up to this many dimensions several components with full covariance are fitted."""
_STRENGTH = 2.0
_MOST_BY_MOMENTS = 2
_SHARE_OF_REGRESSION = 0.5
_WIDER = 1.5
_FAR_WIDER = 3.0
_MORE = 2
_DRAWS_PER_START = 4


class MixtureProposal(Proposal):
    """Population Monte Carlo: rounds of pilot draws, each from what was fitted to those before.

    The first round is from the refined guide and the prior, the second from a fit to the first,
    and the draws that are weighted from a fit to both, with a share each from the guide and the
    prior. A Gaussian guide of few dimensions gets a mixture of several Gaussians of full
    covariance for every sentence, so that it finds more than one mode; of more dimensions one
    Gaussian of full covariance, by regression of the log-density; a sphere one member of the
    guide's own family. No pilot draw is weighted, so the estimate of
    p(x) is unbiased, and its draws are independent.

    Source: Cappe et al. (2004), Population Monte Carlo, https://doi.org/10.1198/106186004X12803.

    :param steps: of the refinement, see :class:`RefinedProposal`.
    :param step_draws: likewise.
    :param learning_rate: likewise.
    :param pilot_draws: of each of the two rounds; twice as many for a Gaussian of more than 8
        dimensions, which has more to be found.
    :param num_components: of a mixture, for one sentence.
    :param factor: what the fitted scale is multiplied by, in two dimensions; in D by its power
        of the square root of 2 / D, as a wider scale costs draws in every dimension, and after a
        regression by the square root of that.
    :param guide_share: of the draws that are weighted.
    :param prior_share: likewise.
    """

    def __init__(
        self,
        steps: int = 10,
        step_draws: int = 4,
        learning_rate: float = 0.3,
        pilot_draws: int = 64,
        num_components: int = 4,
        factor: float = 1.2,
        guide_share: float = 0.05,
        prior_share: float = 0.15,
    ) -> None:
        for what, number in (("pilot_draws", pilot_draws), ("num_components", num_components)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"{what} must be a whole number of at least 1, got {number}")
        # These say what is wrong with the others.
        self._refined = RefinedProposal(
            steps,
            step_draws,
            learning_rate,
            factor=factor,
            guide_share=guide_share,
            prior_share=prior_share,
        )
        self.steps = steps
        self.step_draws = step_draws
        self.learning_rate = learning_rate
        self.pilot_draws = pilot_draws
        self.num_components = num_components
        self.factor = factor
        self.guide_share = guide_share
        self.prior_share = prior_share

    def sampler(self, task: ProposalTask) -> Sampler:
        """See :class:`Proposal`."""
        return task.defensive_mixture(self.fit(task).best, self.guide_share, self.prior_share)

    def fit(self, task: ProposalTask) -> PilotFit:
        """What two rounds of pilot draws say."""
        self.require_gradients()
        refined = self._refined.refine(task.target, task.posteriors, task.guide)
        pilot = PilotDraws(task.target, task.posteriors)
        draws = self.pilot_draws * (_MORE if _is_regressed(refined) else 1)
        looks_for_modes = _can_mix(refined) and task.prior is not None
        from_prior = draws * 5 // 8 if looks_for_modes else draws // 8
        if task.prior is None:
            from_prior = 0
        near = draws - from_prior
        if task.prior is not None:
            pilot.add([(task.prior, from_prior)])
        from_elsewhere = 0
        if looks_for_modes and from_prior:
            from_elsewhere = draws // 2
            self._look_elsewhere(task, refined, pilot, from_elsewhere)
        pilot.add(
            [
                (task.component(_widened(refined, self.factor)), near - near // 2),
                (task.component(_widened(refined, _FAR_WIDER)), near // 2),
            ]
        )
        second = task.component(_widened(self._fitted(refined, pilot), _WIDER))
        pilot.add([(second, draws - from_elsewhere)])
        return PilotFit(refined, self._fitted(refined, pilot), pilot)

    def refit(self, fitted: PilotFit, task: ProposalTask, rows: Tensor) -> PilotFit:
        """What many more pilot draws say of some of the sentences: from the fit, and the prior.

        :param task: of those sentences.
        :param rows: their places among those of ``fitted``.
        """
        refined, best = fitted.refined.rows(rows), fitted.best.rows(rows)
        pilot = fitted.pilot.rows(task.target, task.posteriors, rows)
        more = [(task.component(_widened(best, _WIDER)), _MORE * self.pilot_draws)]
        if task.prior is not None:
            more.append((task.prior, _MORE * self.pilot_draws))
        pilot.add(more)
        if _can_mix(refined) and task.prior is not None:
            self._look_elsewhere(task, refined, pilot, self.pilot_draws // 2)
        return PilotFit(refined, self._fitted(refined, pilot), pilot)

    def _look_elsewhere(
        self, task: ProposalTask, refined: Family, pilot: PilotDraws, count: int
    ) -> None:
        """Add draws around modes near which the draws of the prior have come."""
        assert isinstance(refined, GaussianFamily)
        starts = max(1, count // _DRAWS_PER_START)
        pilot.add([(task.component(other_modes(refined, pilot, starts)), count)])

    def _fitted(self, refined: Family, pilot: PilotDraws) -> Family:
        z = pilot.posteriors.vector.joined(pilot.latents)
        log_weights = pilot.log_weights()
        fit: Family
        if isinstance(refined, GaussianFamily) and _can_mix(refined):
            mixture = GaussianMixtureFamily.fit(refined, z, log_weights, self.num_components)
            fit = mixture
            if refined.dim > _MOST_BY_MOMENTS:
                gaussian = refined.regressed(z, pilot.joint.total, log_weights)
                fit = mixture.with_component(gaussian, _SHARE_OF_REGRESSION)
        elif _is_regressed(refined):
            assert isinstance(refined, GaussianFamily)
            fit = refined.regressed(z, pilot.joint.total, log_weights)
            # It has less noise than moments, so there is less to be wider for.
            return _widened(fit, math.sqrt(self.factor))
        else:
            weights = log_weights.double().softmax(0).nan_to_num(1.0 / len(z))
            # The moments of D dimensions need draws in proportion.
            fit = refined.fitted(z, weights, _STRENGTH * refined.dim)
        return _widened(fit, self.factor)


def _widened(family: Family, factor: float) -> Family:
    return family.widened(factor ** math.sqrt(2 / max(2, family.dim)))


def _can_mix(refined: Family) -> bool:
    return isinstance(refined, GaussianFamily) and refined.dim <= MOST_DIMENSIONS


def _is_regressed(refined: Family) -> bool:
    return isinstance(refined, GaussianFamily) and refined.dim > MOST_DIMENSIONS
