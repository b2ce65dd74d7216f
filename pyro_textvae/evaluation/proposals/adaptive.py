# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws from distributions fitted to the weights of earlier draws."""

from __future__ import annotations

from pyro_textvae.evaluation.importance.proposal import Proposal, ProposalTask
from pyro_textvae.evaluation.importance.samplers import JoinedSampler, Sampler


class AdaptiveProposal(Proposal):
    """A first round from the guide, a second from what the weights of the first say.

    Moments are matched, then widened; the draws of both rounds are weighted by the balance
    heuristic, so none is wasted. A distribution that was fitted to a draw must not weight that
    draw, or the estimate of p(x) is biased. So the sentences' draws are in two halves, and each
    half goes on with what was fitted to the other: the mean weight is unbiased exactly.

    Source: Cappe et al. (2004), Population Monte Carlo, https://doi.org/10.1198/106186004X12803;
    Veach and Guibas (1995), section 3.2, https://doi.org/10.1145/218380.218498, for the weights.

    :param first_share: share of the draws that the first round takes, at most ``most_first``.
    :param most_first: draws of the first round, at most.
    :param factor: what the fitted scale is multiplied by.
    :param strength: how many draws the guide counts for in the fit, against the effective number.
    """

    def __init__(
        self,
        first_share: float = 0.5,
        most_first: int = 512,
        factor: float = 1.15,
        strength: float = 5.0,
    ) -> None:
        if not 0 < first_share < 1:
            raise ValueError(f"first_share must lie in (0, 1), got {first_share}")
        if not isinstance(most_first, int) or most_first < 2:
            raise ValueError(f"most_first must be a whole number of at least 2, got {most_first}")
        if not 0 < factor < float("inf"):
            raise ValueError(f"factor must be positive and finite, got {factor}")
        if not 0 < strength < float("inf"):
            raise ValueError(f"strength must be positive and finite, got {strength}")
        self.first_share = first_share
        self.most_first = most_first
        self.factor = factor
        self.strength = strength

    def sampler(self, task: ProposalTask) -> Sampler:
        """See :class:`Proposal`."""
        first = min(int(self.first_share * task.num_samples), self.most_first) // 2
        if first < 1:
            return task.mixture([(task.guide, task.num_samples)])
        made, fits = [], []
        guide = task.component(task.guide)
        for half in ("one", "other"):
            seeds = task.posteriors.seeds("first round", half)
            latents = guide.sample(first, seeds)
            scores = task.target(latents)
            log_guide = guide.log_prob(latents, scores)
            weights = (scores.total.double() - log_guide.double()).softmax(0)
            weights = weights.nan_to_num(1.0 / first)  # where no draw was possible
            made.append((latents, scores))
            z = task.posteriors.vector.joined(latents)
            fits.append(task.guide.fitted(z, weights, self.strength).widened(self.factor))
        counts = (task.num_samples - task.num_samples // 2, task.num_samples // 2)
        halves = zip(made, reversed(fits), counts, ("one", "other"), strict=True)
        return JoinedSampler(
            [
                (
                    task.mixture(
                        [(task.guide, first), (fit, count - first)], made=own, purpose=purpose
                    ),
                    count,
                )
                for own, fit, count, purpose in halves
            ]
        )
