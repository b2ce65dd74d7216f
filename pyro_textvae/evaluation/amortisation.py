# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the guide loses by serving all sentences with one encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.displayed import Displayed
from pyro_textvae.evaluation.importance.error_of_mean import error_of_mean
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.proposals import RefinedProposal
from pyro_textvae.evaluation.sentences import batch_of
from pyro_textvae.infer.running import evaluation_mode

_SENTENCES_AT_ONCE = 16


@dataclass(frozen=True, repr=False)
class AmortisationGap(Displayed):
    """The bound of the refined posteriors less that of the guide; float64, nats, ``(N,)``.

    gap
        ELBO of the guide's family after optimisation for each sentence, minus the guide's ELBO. An
        estimate from below of the amortisation gap: optimisation stops before the best member.
    standard_error
        Monte Carlo error of ``gap``.
    keys
        A number made of each sentence.
    evaluations
        Decoder evaluations in all, a gradient counted as three.
    """

    gap: Tensor
    standard_error: Tensor
    keys: Tensor
    evaluations: int

    @cached_property
    def mean(self) -> float:
        """Mean over the sentences."""
        return self.gap.mean().item()

    @cached_property
    def mean_standard_error(self) -> float:
        """Monte Carlo error of ``mean``; equal sentences share their draws."""
        return error_of_mean(self.standard_error, self.keys)

    def to_dict(self) -> dict[str, Any]:
        """The summary for a result file; nats per sentence."""
        return {
            "amortisation_gap": self.mean,
            "amortisation_gap_standard_error": self.mean_standard_error,
            "num_sentences": len(self.gap),
            "evaluations": self.evaluations,
        }


def amortisation_gap(
    model: nn.Module,
    guide: nn.Module,
    sentences: Sequence[Mapping[str, Tensor]],
    *,
    steps: int = 60,
    step_draws: int = 8,
    num_draws: int = 64,
    seed: int = 0,
    max_tokens: int = 16384,
) -> AmortisationGap:
    """Refine the guide's posterior of every sentence, and see how much its bound gains.

    Both bounds are averaged over ``num_draws`` draws with the same random numbers.

    Source: Cremer et al. (2018), Inference Suboptimality in Variational Autoencoders, section 3,
    https://arxiv.org/abs/1801.03558.

    :param sentences: the keywords of a call of the model for each, the first dimension being 1.
    :raises ValueError: for a guide whose posterior is neither Gaussian nor spherical.
    """
    refined = RefinedProposal(steps=steps, step_draws=step_draws)
    lengths = torch.tensor([sentence[TOKENS].numel() for sentence in sentences])
    order = lengths.argsort(stable=True)
    gaps, errors, keys = [], [], []
    evaluations = 0
    with evaluation_mode(model, guide, seed):
        for rows in order.split(_SENTENCES_AT_ONCE):
            batch = batch_of([sentences[row] for row in rows.tolist()])
            posteriors = Posteriors(model, guide, batch, seed)
            of_guide = posteriors.family
            if of_guide is None:
                raise ValueError(
                    "the amortisation gap needs one latent with a Gaussian or spherical posterior, "
                    f"and the guide has {posteriors.describe()}: leave it out"
                )
            target = Target(model, batch, max_tokens=max_tokens, plates=posteriors.plates)
            bounds = []
            for family in (refined.refine(target, posteriors, of_guide), of_guide):
                z = family.sample(num_draws, posteriors.seeds("amortisation"))
                joint = target(posteriors.vector.apart(z)).total.double()
                bounds.append((joint - family.log_prob(z).double()).cpu())
            gain = bounds[0] - bounds[1]
            gaps.append(gain.mean(0))
            errors.append(gain.std(0) / math.sqrt(num_draws))
            keys.append(torch.tensor(posteriors.keys))
            evaluations += target.evaluations
    back = order.argsort()
    return AmortisationGap(
        gap=torch.cat(gaps)[back],
        standard_error=torch.cat(errors)[back],
        keys=torch.cat(keys)[back],
        evaluations=evaluations,
    )
