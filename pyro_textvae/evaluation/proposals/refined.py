# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws from the guide's posterior after further optimisation, sentence by sentence."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.evaluation.families import Family
from pyro_textvae.evaluation.importance.latent_vector import LatentVector
from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.proposal import Proposal, ProposalTask
from pyro_textvae.evaluation.importance.samplers import Sampler
from pyro_textvae.evaluation.importance.target import Target


class RefinedProposal(Proposal):
    """The guide after ``steps`` of Adam on each sentence's own bound, then widened.

    A share of the draws comes from the guide itself and another from the prior, weighted by the
    balance heuristic: no weight can then exceed the guide's own by more than the inverse of the
    first share, nor p(x | z) by more than the inverse of the second, so that every weight has a
    variance where p(x | z) is bounded, as it is for text. The draws of the optimisation are not
    among those that are weighted, so the estimate of p(x) stays unbiased.

    Source: Kim et al. (2018), Semi-Amortized Variational Autoencoders,
    https://arxiv.org/abs/1802.02550, for the refinement; Roeder et al. (2017), Sticking the
    Landing, https://arxiv.org/abs/1703.09194, for its gradient; Hesterberg (1995), Weighted average
    importance sampling and defensive mixture distributions,
    https://doi.org/10.1080/00401706.1995.10484303, for the guide's share.

    :param steps: of Adam, its rate falling linearly to zero from ``learning_rate``.
    :param step_draws: draws of the latents for each step.
    :param learning_rate: in units of the posterior's standard deviation.
    :param factor: what the scale is multiplied by afterwards.
    :param guide_share: of the draws.
    :param prior_share: of the draws; without effect where nothing can be drawn from the prior.
    """

    def __init__(
        self,
        steps: int = 15,
        step_draws: int = 4,
        learning_rate: float = 0.1,
        factor: float = 1.05,
        guide_share: float = 0.1,
        prior_share: float = 0.1,
    ) -> None:
        for what, number in (("steps", steps), ("step_draws", step_draws)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"{what} must be a whole number of at least 1, got {number}")
        for name, share in (("guide_share", guide_share), ("prior_share", prior_share)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {share}")
        if guide_share + prior_share >= 1:
            raise ValueError(
                "guide_share and prior_share must leave draws for the refined distribution, got "
                f"{guide_share} and {prior_share}"
            )
        for name, value in (("learning_rate", learning_rate), ("factor", factor)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self.steps = steps
        self.step_draws = step_draws
        self.learning_rate = learning_rate
        self.factor = factor
        self.guide_share = guide_share
        self.prior_share = prior_share

    def sampler(self, task: ProposalTask) -> Sampler:
        """See :class:`Proposal`."""
        best = self.refine(task.target, task.posteriors, task.guide).widened(self.factor)
        return task.defensive_mixture(best, self.guide_share, self.prior_share)

    def refine(self, target: Target, posteriors: GuideDraws, guide: Family) -> Family:
        """The member of the guide's family with the best bound that the steps find.

        :raises UserError: under ``torch.inference_mode()``.
        """
        self.require_gradients()
        leaves, member = guide.variational()
        leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
        optimizer = torch.optim.Adam(leaves, lr=self.learning_rate)
        for step in range(self.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * (1 - step / self.steps)
            seeds = posteriors.seeds("refine", step)
            optimizer.zero_grad()
            with torch.enable_grad():
                z = member(leaves).sample(self.step_draws, seeds, paired=True)
            held = member([leaf.detach() for leaf in leaves])
            gradient = _bound_gradient(target, posteriors.vector, held, z.detach())
            # The gradient reaches the parameters through z alone: near the optimum its noise is 0.
            z.backward(-gradient / self.step_draws)
            for leaf in leaves:
                assert leaf.grad is not None
                leaf.grad.nan_to_num_(0.0, 0.0, 0.0)
            optimizer.step()
        return member([leaf.detach() for leaf in leaves])


def _bound_gradient(target: Target, vector: LatentVector, family: Family, z: Tensor) -> Tensor:
    """Gradient of log p(x, z) - log q(z) with respect to z, the parameters of q held."""
    _, gradients = target.gradient(vector.apart(z))
    with torch.enable_grad():
        leaf = z.requires_grad_()
        log_q = family.log_prob(leaf).sum()
        (of_log_q,) = torch.autograd.grad(log_q, leaf)
    return vector.joined(gradients) - of_log_q
