# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws that go along the latents of a text in their order, resampled on the way."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.evaluation.enumeration.integrated_model import IntegratedModel
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.proposal import Proposal, ProposalTask
from pyro_textvae.evaluation.importance.rounds import DrawSettings, draw_rounds
from pyro_textvae.evaluation.importance.samplers import GuideSampler, Sampler
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.sequential.sampler import DatumFacts, SequentialSampler
from pyro_textvae.evaluation.sequential.step_plan import StepPlan, why_not


class SequentialProposal(Proposal):
    r"""Sequential Monte Carlo over the steps of a text, with the guide as the proposal.

    .. math::
        \hat p(x) = \prod_t \sum_k W_{t-1}^k \frac{p(z_t^k, x_t \mid z_{<t}^k, x_{<t})}
        {q(z_t^k \mid z_{<t}^k, x)}

    For latents that follow each other, such as those of the sentences of a document: the variance
    of the log of the estimate grows as the number of steps, and that of importance weights over all
    latents at once as its exponential. Each block of the draws is a population of particles, and
    the standard error is that between the blocks.

    The steps are those of the programs' methods ``start`` and ``step``, see
    :data:`~pyro_textvae.infer.steps.STEP_METHODS`: then each particle scores the text once. Without
    them a step begins with each latent that comes after something observed, and the programs are
    run from their beginning for every step. A pair with neither has the guide's own draws.

    Source: Doucet and Johansen (2011), A tutorial on particle filtering and smoothing,
    https://www.stats.ox.ac.uk/~doucet/doucet_johansen_tutorialPF2011.pdf.

    :param resample_below: particles are drawn anew where the effective number of a population's
        weights is below this share of its size: at 0 never, at 1 at every step.
    """

    def __init__(self, resample_below: float = 0.5) -> None:
        if not 0 <= resample_below <= 1:
            raise ValueError(f"resample_below must lie in [0, 1], got {resample_below}")
        self.resample_below = resample_below

    def sampler(self, task: ProposalTask) -> Sampler:
        """The guide's own draws, for a pair without steps; see :class:`Proposal`."""
        return GuideSampler(task.target, task.posteriors)

    def suits(self, posteriors: Posteriors | None) -> bool:
        """See :class:`Proposal`."""
        return posteriors is not None and StepPlan.of(posteriors) is not None

    def refuses(self, settings: DrawSettings) -> str | None:
        """See :class:`Proposal`."""
        if settings.quasi_random:
            return (
                "the sequential proposal draws step by step, and has no quasi_random: leave it "
                "out, or ask for another proposal"
            )
        return None

    def estimate(
        self, target: Target, posteriors: Posteriors, settings: DrawSettings
    ) -> dict[str, Tensor]:
        """See :class:`Proposal`.

        :raises ValueError: for a model that sums a latent of its own out.
        """
        plan = StepPlan.of(posteriors)
        if plan is None:
            return super().estimate(target, posteriors, settings)
        if isinstance(target.model, IntegratedModel):
            names = ", ".join(map(repr, sorted(target.model.names)))
            raise ValueError(
                f"the sequential proposal draws every latent, and the model sums {names} out: give "
                "the guide a site for it, or ask for another proposal"
            )
        count = target.num_sentences
        facts = [DatumFacts() for _ in range(count)]
        sampler = SequentialSampler(
            target, posteriors, plan, self.resample_below, facts, list(range(count))
        )
        columns = draw_rounds(sampler, target, posteriors, settings)
        columns["khat"] = torch.tensor([one.khat for one in facts], dtype=torch.float64)
        for name, values in (
            ("reconstruction", [one.reconstruction for one in facts]),
            ("sampled_kl", [one.kl for one in facts]),
        ):
            columns[name] = torch.stack([torch.cat(parts).mean() for parts in values])
        if target.resolution is not None:
            target.resolution.take(torch.tensor([one.differ for one in facts]))
        return columns

    def start(
        self,
        target: Target,
        posteriors: Posteriors,
        num_samples: int,
        *,
        quasi_random: bool = False,
    ) -> Sampler:
        """The guide's own draws, for a pair without steps."""
        return GuideSampler(target, posteriors)

    def falls_back(self, posteriors: Posteriors) -> str | None:
        """See :class:`Proposal`."""
        reason = why_not(posteriors)
        if reason is not None:
            return (
                f"the sequential proposal needs latents that follow each other, and {reason}: the "
                "draws are the guide's own"
            )
        plan = StepPlan.of(posteriors)
        if plan is None or plan.names is None:
            return None
        return (
            f"the {len(plan.names)} steps of the sequential proposal are told by the order of the "
            "sites, and the programs run from their beginning for each: with start and step "
            "they would score a text once"
        )
