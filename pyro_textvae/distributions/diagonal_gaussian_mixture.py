# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A mixture of diagonal Gaussians whose draws have gradients."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor


class DiagonalGaussianMixture(dist.MixtureSameFamily):
    r"""A mixture of diagonal Gaussians with reparameterised draws, for any number of dimensions.

    Made like its base: ``DiagonalGaussianMixture(Categorical(logits), Normal(loc, scale)
    .to_event(1))``. A draw is made by choosing a component, and its gradient is that of the
    distribution function of each coordinate given those before it,

    .. math::
        \nabla_\phi z = -\Big(\frac{\partial F}{\partial z}\Big)^{-1} \nabla_\phi F(z; \phi),
        \qquad F_i(z) = \sum_k w_k(z_{<i}) \Phi\Big(\frac{z_i - \mu_{ki}}{\sigma_{ki}}\Big),

    so that it reaches weights, means and scales alike, unbiased. First derivatives only. The
    gradient of the weights is noisy where components are many scales apart, for a draw has to
    cross the space between them. ``pyro.distributions.MixtureOfDiagNormals`` has a biased gradient
    of the weights where scales differ.

    >>> weights = dist.Categorical(logits=torch.zeros(3, requires_grad=True))
    >>> components = dist.Normal(torch.zeros(3, 2), torch.ones(3, 2)).to_event(1)
    >>> z = DiagonalGaussianMixture(weights, components).rsample((10,))
    >>> z.shape, z.requires_grad
    (torch.Size([10, 2]), True)

    Source: Graves (2016), Stochastic Backpropagation through Mixture Density Distributions,
    https://arxiv.org/abs/1607.05690; Figurnov et al. (2018), Implicit Reparameterization Gradients,
    https://arxiv.org/abs/1805.08498.
    """

    has_rsample = True
    support = constraints.real_vector

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """Draws with gradients to all parameters, ``(*sample_shape, *batch_shape, D)``."""
        z = self.sample(torch.Size(sample_shape))
        components = self.component_distribution.base_dist
        deviate = (z.unsqueeze(-2) - components.loc) / components.scale
        log_density = components.log_prob(z.unsqueeze(-2))
        log_share = self.mixture_distribution.logits.unsqueeze(-1)
        before = log_density.cumsum(-1) - log_density
        log_share = (log_share + before).log_softmax(-2)
        with torch.no_grad():
            share = log_share.exp()
            log_conditional = (log_share + log_density).logsumexp(-2, keepdim=True)
            below = (share * torch.special.ndtr(deviate)).sum(-2, keepdim=True)
            # The nearer tail: the distance of F to 1 has no digits where F is 1.
            side = torch.where(below < 0.5, 1.0, -1.0).to(z.dtype)
        tail = side * (log_share + torch.special.log_ndtr(side * deviate) - log_conditional).exp()
        quantile = tail.sum(-2)
        with torch.no_grad():
            slope = -deviate / components.scale
            mean_slope = share.mT @ slope
            jacobian = tail.mT @ slope - quantile.unsqueeze(-1) * mean_slope
        # In units of the conditional densities, which make the diagonal ones.
        change = torch.linalg.solve_triangular(
            jacobian, (quantile - quantile.detach()).unsqueeze(-1), upper=False, unitriangular=True
        )
        return z - change.squeeze(-1)
