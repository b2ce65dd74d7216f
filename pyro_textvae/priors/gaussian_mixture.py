# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A mixture of Gaussians as the prior."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_textvae.distributions.mixture import Mixture
from pyro_textvae.nn.checks import check_sizes

# The sum of float32 weights in a settings file, and no more.
_ROUNDING = 1e-5


class GaussianMixture(nn.Module):
    r"""p(z) = sum_c weight_c N(z; loc_c, diag scale_c^2); called with nothing, returns it.

    .. math::
        p(z) = \sum_c \pi_c \prod_j \mathcal N(z_j; \mu_{cj}, \sigma_{cj}^2)

    The locations start as draws from N(0, spread^2). Weights, locations and scales are learned, or
    stay as they start. The KL to it has no closed form.

    >>> prior = GaussianMixture(latent_dim=2, num_components=3, weights=[0.5, 0.3, 0.2])
    >>> prior().sample((10,)).shape
    torch.Size([10, 2])

    Source: Dilokthanakul et al. (2016), Deep Unsupervised Clustering with Gaussian Mixture
    Variational Autoencoders, https://arxiv.org/abs/1611.02648.

    :param latent_dim: size of z.
    :param num_components: at least 1.
    :param learned: whether anything of it is trained.
    :param scale: of every component, at the start; positive.
    :param spread: of the locations, at the start; positive.
    :param weights: of the components, at the start: positive, with the sum 1; by default equal.
    :raises ValueError: for any other value.
    """

    logits: Tensor
    loc: Tensor
    log_scale: Tensor

    def __init__(
        self,
        latent_dim: int,
        num_components: int = 10,
        learned: bool = True,
        scale: float = 1.0,
        spread: float = 1.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        check_sizes(latent_dim=latent_dim, num_components=num_components)
        for name, size in (("scale", scale), ("spread", spread)):
            if not 0 < size < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {size}")
        super().__init__()
        self.latent_dim = latent_dim
        self.num_components = num_components
        self.learned = learned
        weights = [1 / num_components] * num_components if weights is None else weights
        _check_weights(weights, num_components)
        start = {
            "logits": torch.tensor(weights).log(),
            "loc": spread * torch.randn(num_components, latent_dim),
            "log_scale": torch.full((num_components, latent_dim), math.log(scale)),
        }
        for name, value in start.items():
            if learned:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    def forward(self) -> Mixture:
        """The distribution, batch shape ``()`` and event shape ``(latent_dim,)``."""
        components = dist.Normal(self.loc, self.log_scale.exp()).to_event(1)
        return Mixture(self.logits, components)


def _check_weights(weights: Sequence[float], num_components: int) -> None:
    if len(weights) != num_components:
        raise ValueError(
            f"weights must be as many as num_components, {num_components}, got {len(weights)}"
        )
    if not all(0 < weight < math.inf for weight in weights):
        raise ValueError(f"weights must be positive, got {list(weights)}")
    total = math.fsum(weights)
    if abs(total - 1) > _ROUNDING:
        raise ValueError(
            f"weights must have the sum 1, got {list(weights)} with the sum {total:.6g}: divide "
            "them by it"
        )
