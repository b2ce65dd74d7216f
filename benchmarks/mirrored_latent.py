# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A sentence VAE whose posteriors have several modes of equal mass."""

from __future__ import annotations

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn


class MirroredVAE(PyroModule):
    r"""z ~ p(z); x ~ p(x | abs z): of D dimensions every posterior is 2^D copies of one orthant.

    .. math::
        p(x, z) = p(z) \prod_t p(x_t \mid x_{<t}, |z|)

    A guide of one mode finds one of them, and its weights miss up to D log 2 nats of log p(x).

    ======  ======  ===================================
    symbol  site    shape
    ======  ======  ===================================
    z       ``z``   ``(N, latent_dim)``
    x       ``x``   ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  ======  ===================================

    :param prior: called with nothing, returns p(z), even in every dimension.
    :param decoder: called with abs z ``(..., latent_dim)``, returns p(x | z).
    """

    def __init__(self, prior: nn.Module, decoder: nn.Module) -> None:
        super().__init__("model")
        self.prior = prior
        self.decoder = decoder

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Score ``tokens`` ``(N, T)``, or generate ``size`` sentences."""
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decoder(z.abs()), obs=tokens)
