# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The importance-weighted bound with the doubly reparameterised gradient."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.infer.cut_graph import check_drawn_alike, doubly_reparameterised
from pyro_textvae.infer.objectives.iwae import IWAE
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws


class DReG(IWAE):
    r"""The bound of IWAE, with the doubly reparameterised gradient for the guide.

    .. math::
        \nabla_\phi = \mathbb{E} \sum_k W_k^2 \,
        \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi},
        \qquad W_k = \frac{w_k}{\sum_j w_j}

    A draw for one value of an enumerated site has the share of that value in W_k.

    Unbiased as IWAE's own, with a signal-to-noise ratio for the guide that grows as sqrt(K) where
    the other falls. The model's gradient is IWAE's.

    Source: Tucker et al. (2019), equation 8, https://arxiv.org/abs/1810.04152; Bauer & Mnih (2021),
    https://arxiv.org/abs/2101.11046, for several latents.

    :raises ValueError: for a latent that is drawn for each value of an enumerated site from another
        that is not.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> def model(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=tokens)
    >>> def guide(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         pyro.sample("z", dist.Normal(tokens / 2, 0.5**0.5))
    >>> loss = DReG(num_particles=4).loss(model, guide, tokens=torch.zeros(1))
    >>> round(loss, 4)  # The guide is the posterior, so that this is -log p(x) = 0.5 log(4 pi).
    1.2655
    """

    draws = Draws.CUT

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """What has the doubly reparameterised gradient."""
        check_drawn_alike(terms, type(self).__name__)
        weights = terms.log_weights.detach().softmax(0)
        return doubly_reparameterised(terms, weights, factor=lambda weight: weight)
