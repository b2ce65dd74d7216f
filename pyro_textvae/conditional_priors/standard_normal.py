# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A prior that does not depend on the source."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes


class UnconditionalStandardNormal(nn.Module):
    r"""p(z | s) = N(0, I) whatever the source: z is what the source does not say.

    >>> import torch
    >>> prior = UnconditionalStandardNormal(latent_dim=3)
    >>> prior(torch.zeros(2, 8)).sample().shape
    torch.Size([2, 3])

    Source: Gupta et al. (2018), A Deep Generative Framework for Paraphrase Generation,
    https://arxiv.org/abs/1709.05074, whose prior is this one.

    :param latent_dim: size of z.
    """

    def __init__(self, latent_dim: int) -> None:
        check_sizes(latent_dim=latent_dim)
        super().__init__()
        self.latent_dim = latent_dim

    def forward(self, features: Tensor) -> dist.TorchDistribution:
        """The distribution for features ``(N, F)``, batch shape ``(N,)``."""
        shape = (*features.shape[:-1], self.latent_dim)
        return dist.Normal(features.new_zeros(shape), features.new_ones(shape)).to_event(1)
