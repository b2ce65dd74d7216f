# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The importance-weighted bound with the path derivative: sticking the landing."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.infer.cut_graph import doubly_reparameterised
from pyro_textvae.infer.objectives.iwae import IWAE
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws


class STL(IWAE):
    r"""The bound of IWAE, with the path derivative for the guide: sticking the landing.

    .. math::
        \nabla_\phi = \mathbb{E} \sum_k W_k \,
        \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi},
        \qquad W_k = \frac{w_k}{\sum_j w_j}

    With K = 1 it is an unbiased gradient of the evidence lower bound, without noise where the
    guide is the posterior. With K > 1, or a draw for each value of an enumerated site, it is
    biased, and the bias does not vanish with K: prefer DReG.

    Source: Roeder et al. (2017), equation 8 and section 5, https://arxiv.org/abs/1703.09194.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> def model(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=tokens)
    >>> shift = torch.tensor(0.0, requires_grad=True)
    >>> def guide(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         pyro.sample("z", dist.Normal(shift + tokens / 2, 0.5**0.5))
    >>> STL().differentiable_loss(model, guide, tokens=torch.zeros(1)).backward()
    >>> bool(shift.grad.abs() < 1e-6)  # The guide is the posterior: no noise, whatever was drawn.
    True
    """

    draws = Draws.CUT

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """What has the gradient through the draws alone."""
        weights = terms.log_weights.detach().softmax(0)
        return doubly_reparameterised(terms, weights, factor=torch.ones_like)
