# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How far the gradient of an objective stands out of the noise of its draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pyro.infer import ELBO
from torch import Tensor, nn

from pyro_textvae.displayed import Displayed
from pyro_textvae.infer.loss_module import programs_for
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.nn.plain_kernels import plain_kernels


@dataclass(frozen=True, repr=False)
class GradientSignal(Displayed):
    """Signal-to-noise ratios of a gradient from one draw of all that is random; no unit.

    The length of the mean gradient over the root of its summed variances. A parameter that model
    and guide share counts in both. Infinite for a gradient without noise, NaN where there is none.
    """

    model: float
    guide: float


def gradient_signal(
    model: nn.Module,
    guide: nn.Module,
    objective: ELBO,
    batch: Mapping[str, Tensor],
    num_draws: int = 100,
    seed: int = 0,
) -> GradientSignal:
    r"""Signal-to-noise ratio of the objective's gradient on one batch, dropout off.

    For parameters with the mean gradient g and the covariance C of a single draw it is

    .. math:: |g| / \sqrt{\operatorname{tr} C}.

    The mean over M draws is too long by its own noise, so :math:`|g|^2` is estimated by the square
    of its length less :math:`\operatorname{tr} C / M`, and by 0 where that is negative. With noise
    alike in D parameters, a ratio below :math:`(2 / D)^{1/4} / \sqrt{M}` cannot be told from 0.

    The random state, ``.grad`` and the training mode are left as they were.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.infer import IWAE
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=8)
    >>> model = SentenceVAE(prior=StandardNormal(2), decoder=decoder)
    >>> guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=2)
    >>> batch = {"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}
    >>> signal = gradient_signal(model, guide, IWAE(4), batch, num_draws=10)
    >>> signal.model > 0
    True

    Source: Rainforth et al. (2018), Tighter variational bounds are not necessarily better,
    section 3, there for a single parameter, https://arxiv.org/abs/1802.04537.

    :param objective: its ``differentiable_loss`` is derived; its schedule is not moved on.
    :param num_draws: independent draws of the gradient.
    :raises ValueError: for fewer than 2 draws, or a gradient that is not finite.
    """
    if num_draws < 2:
        raise ValueError(f"num_draws must be at least 2, got {num_draws}")
    groups = [[p for p in module.parameters() if p.requires_grad] for module in (model, guide)]
    parameters = list(dict.fromkeys([*groups[0], *groups[1]]))
    if not parameters:
        return GradientSignal(model=math.nan, guide=math.nan)
    means = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    squares = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    batch = to_device(batch, model)
    programs = programs_for(objective, model, guide)
    with evaluation_mode(model, guide, seed), torch.enable_grad(), plain_kernels():
        for draw in range(1, num_draws + 1):
            loss = objective.differentiable_loss(*programs, **batch)  # type: ignore[attr-defined]
            gradients = torch.autograd.grad(
                loss, parameters, allow_unused=True, materialize_grads=True
            )
            for mean, square, gradient in zip(means, squares, gradients, strict=True):
                deviation = gradient.double() - mean
                mean += deviation / draw
                square += deviation * (gradient.double() - mean)
    totals = {
        parameter: (mean.square().sum().item(), square.sum().item() / (num_draws - 1))
        for parameter, mean, square in zip(parameters, means, squares, strict=True)
    }
    of_model, of_guide = (
        _ratio([totals[parameter] for parameter in group], num_draws) for group in groups
    )
    return GradientSignal(model=of_model, guide=of_guide)


def _ratio(totals: list[tuple[float, float]], num_draws: int) -> float:
    """From the squared length of the mean and the variance of each parameter."""
    length = sum(length for length, _ in totals)
    variance = sum(variance for _, variance in totals)
    if not (math.isfinite(length) and math.isfinite(variance)):
        raise ValueError("the gradient is not finite: train with a smaller learning rate")
    if variance == 0:
        return math.inf if length > 0 else math.nan
    return math.sqrt(max(0.0, length - variance / num_draws) / variance)
