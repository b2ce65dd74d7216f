# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The next stronger proposal for every sentence that the one before did not settle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from pyro_textvae.evaluation.importance.components import GuideComponent
from pyro_textvae.evaluation.importance.halves import CrossedHalves
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.proposal import Proposal, ProposalTask
from pyro_textvae.evaluation.importance.rounds import DrawSettings, draw_round
from pyro_textvae.evaluation.importance.samplers import Sampler
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.proposals.annealed import AnnealedProposal
from pyro_textvae.evaluation.proposals.mixture import MixtureProposal
from pyro_textvae.evaluation.sentences import batch_of

FEWEST_SAMPLES = 10
"""Below this many draws there are no two halves that could judge one another."""
_STAGES = 3
# Of each half: a particle takes many decoder evaluations.
_MOST_PARTICLES = 64
# For a sentence that the share of the first stage did not settle.
_PRIOR_SHARE_OF_HARD = 0.25


class AutoProposal(Proposal):
    """Each sentence by the cheapest proposal that its own draws call enough.

    Stages, each for the sentences that the stage before left unsettled: draws from a mixture that
    was fitted to pilot draws (:class:`MixtureProposal`), draws from one that was fitted to many
    more, and annealing to the posterior (:class:`AnnealedProposal`). With latents that are neither
    real numbers nor one vector on a sphere, the first draws are from the guide itself and from the
    prior, and annealing is next.

    Half the draws of a sentence are enough when k-hat is at most 0.7 and the standard error at
    most 0.2 nats. What decides is never in the estimate that it decides over: see
    :class:`~pyro_textvae.evaluation.importance.halves.CrossedHalves`.

    :param pilot_draws: see :class:`MixtureProposal`; the second stage adds four times as many.
    :param prior_share: likewise; a quarter of the draws in the second stage.
    :param most_stages: 1 to 3.
    """

    has_guide_beside = True

    def __init__(
        self, pilot_draws: int = 64, prior_share: float = 0.15, most_stages: int = _STAGES
    ) -> None:
        if most_stages not in range(1, _STAGES + 1):
            raise ValueError(f"most_stages must be from 1 to {_STAGES}, got {most_stages}")
        self._mixture = MixtureProposal(pilot_draws=pilot_draws, prior_share=prior_share)
        self.pilot_draws = pilot_draws
        self.prior_share = prior_share
        self.most_stages = most_stages

    def sampler(self, task: ProposalTask) -> Sampler:
        """The draws of the first stage alone; see :class:`Proposal`."""
        return self._mixture.sampler(task)

    def refuses(self, settings: DrawSettings) -> str | None:
        """See :class:`Proposal`."""
        if settings.num_samples < FEWEST_SAMPLES:
            return (
                f"the auto proposal needs num_samples of at least {FEWEST_SAMPLES}, half of them "
                f"to judge the other half, got {settings.num_samples}: give more, or ask for the "
                "guide proposal"
            )
        for name in ("quasi_random", "target_standard_error"):
            if getattr(settings, name):
                return (
                    "the auto proposal decides by itself which sentences need more draws, and has "
                    f"no {name}: leave it out, or ask for the guide, refined or mixture proposal"
                )
        return None

    def estimate(
        self, target: Target, posteriors: Posteriors, settings: DrawSettings
    ) -> dict[str, Tensor]:
        """See :class:`Proposal`."""
        self.require_gradients()
        half = settings.num_samples // 2
        halves = CrossedHalves(target.num_sentences)
        stages = self._stages(target, posteriors, half, halves)
        for rows, sampler, scored_by, draws in islice(stages, self.most_stages):
            first, second = (draw_round(sampler, draws, turn, most_rounds=2) for turn in (0, 1))
            halves.add(rows, (first, second), scored_by.costs, independent=sampler.independent)
            if not len(halves.unsettled):
                break
        columns = halves.columns()
        nothing = columns["log_px"].new_zeros((target.num_sentences, 0))
        return columns | {
            "curve": nothing,
            "curve_error": nothing,
            "num_draws": torch.full_like(halves.cost, 2 * half),
            "decoder_evaluations": halves.cost,
        }

    def _stages(
        self, target: Target, posteriors: Posteriors, draws: int, halves: CrossedHalves
    ) -> Iterator[tuple[Tensor, Sampler, Target, int]]:
        """Places of sentences, what draws for them, what counts its cost, and how many draws."""
        task = ProposalTask.of(target, posteriors, draws)
        if task is None:
            yield halves.unsettled, self.by_any_guide(target, posteriors, draws), target, draws
        else:
            mixture = self._mixture
            fitted = mixture.fit(task)
            shares = (mixture.guide_share, self.prior_share)
            yield halves.unsettled, task.defensive_mixture(fitted.best, *shares), target, draws
            rows = halves.unsettled
            part = task.rows(rows)
            best = mixture.refit(fitted, part, rows).best
            shares = (mixture.guide_share, max(self.prior_share, _PRIOR_SHARE_OF_HARD))
            sampler = part.defensive_mixture(best, *shares, purpose="second stage")
            yield rows, sampler, part.target, draws
        rows = halves.unsettled
        batch = batch_of([posteriors.sentences[row] for row in rows.tolist()])
        alone = Posteriors(target.model, posteriors.guide, batch, posteriors.seed)
        left = Target(target.model, batch, max_tokens=target.max_tokens, plates=alone.plates)
        particles = min(draws, _MOST_PARTICLES)
        yield rows, AnnealedProposal().start(left, alone, particles), left, particles

    def falls_back(self, posteriors: Posteriors) -> str | None:
        """See :class:`Proposal`."""
        if posteriors.family is not None or GuideComponent.of(posteriors) is not None:
            return None
        return (
            f"the guide has {posteriors.describe()}, which cannot score draws of others: the first "
            "draws are its own, without a share of the prior, and the sentences that they do not "
            "settle are annealed from the prior"
        )
