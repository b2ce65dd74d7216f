# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentence VAE: a latent vector, then a sentence given it."""

from __future__ import annotations

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn


class SentenceVAE(PyroModule):
    """z ~ p(z); x ~ p(x | z), a sentence drawn word by word.

    Source: Bowman et al. (2016), Generating Sentences from a Continuous Space.

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
