# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentence VAE: a latent vector, then a sentence given it."""

from __future__ import annotations

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn


class SentenceVAE(PyroModule):
    r"""z ~ p(z); x ~ p(x | z), a sentence drawn word by word.

    .. math::
        p(x, z) = p(z) \prod_t p(x_t \mid x_{<t}, z)

    ======  ======  ===================================
    symbol  site    shape
    ======  ======  ===================================
    z       ``z``   ``(N, latent_dim)``
    x       ``x``   ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  ======  ===================================

    Both sites are in the plate ``"data"`` of N sentences.

    >>> import torch
    >>> from pyro_textvae.nn import LSTMDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> decoder = LSTMDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> model = SentenceVAE(prior=StandardNormal(3), decoder=decoder)
    >>> model(size=10).shape
    torch.Size([10, 6])
    >>> from pyro import poutine
    >>> trace = poutine.trace(model).get_trace(tokens=torch.tensor([[4, 5, 2], [6, 2, 0]]))
    >>> trace.compute_log_prob()
    >>> trace.nodes["x"]["log_prob"].shape
    torch.Size([2])

    Source: Bowman et al. (2016), Generating Sentences from a Continuous Space,
    https://aclanthology.org/K16-1002/.

    :param prior: called with nothing, returns p(z).
    :param decoder: called with z ``(..., latent_dim)``, returns p(x | z).
    """

    def __init__(self, prior: nn.Module, decoder: nn.Module) -> None:
        super().__init__("model")
        self.prior = prior
        self.decoder = decoder

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Score ``tokens`` ``(N, T)``, or generate ``size`` sentences."""
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decoder(z), obs=tokens)
