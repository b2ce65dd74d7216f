# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The estimates of log p(x) of the sentences of one batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.evaluation.importance.estimate_settings import EstimateSettings
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.resolution import Resolution
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.sentences import num_tokens_of

_ERRORS = (
    *("standard_error", "ess", "khat", "curve_error", "half_difference"),
    *("smoothed", "jackknife"),
)
"""What draws that are all alike say nothing of."""


def batch_estimates(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], settings: EstimateSettings
) -> dict[str, Tensor]:
    """The columns of :class:`~pyro_textvae.evaluation.LogLikelihood` for one batch."""
    posteriors = Posteriors(model, guide, batch, settings.seed)
    resolution = Resolution(
        {name: posterior for name, (posterior, _) in posteriors.distributions.items()},
        len(posteriors.keys),
    )
    target = Target(
        model,
        batch,
        max_tokens=settings.max_tokens,
        plates=posteriors.plates,
        resolution=resolution,
    )
    tokens = num_tokens_of(batch[TOKENS]).cpu()
    if not posteriors.names:
        return _exact(target, settings.num_samples) | {"tokens": tokens}
    columns = settings.proposal.estimate(
        target,
        posteriors,
        settings.draws,
    )
    for name in _ERRORS:
        columns[name][resolution.lost] = torch.nan
    sampled_kl = columns.pop("sampled_kl")
    return columns | {
        "kl": sampled_kl if posteriors.kl is None else posteriors.kl,
        "tokens": tokens,
    }


def _exact(target: Target, num_samples: int) -> dict[str, Tensor]:
    """Without a latent one pass is the likelihood itself."""
    log_px = target.exact().double().cpu()
    zero = torch.zeros_like(log_px)
    nothing = log_px.new_zeros((len(log_px), 0))
    return {
        "log_px": log_px,
        "smoothed": log_px,
        "jackknife": log_px,
        "standard_error": zero,
        "error_freedom": torch.full_like(log_px, torch.inf),
        "ess": torch.full_like(log_px, num_samples),
        "khat": torch.full_like(log_px, -torch.inf),
        "largest_weight": zero,
        "doubling": zero,
        "half_doubling": zero,
        "half_difference": zero,
        "curve": nothing,
        "curve_error": nothing,
        "reconstruction": log_px,
        "kl": zero,
        "num_draws": torch.zeros_like(log_px, dtype=torch.long),
        "decoder_evaluations": torch.ones_like(log_px, dtype=torch.long),
    }
