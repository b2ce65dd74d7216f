# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A language model: the decoder alone, the baseline of every table."""

from __future__ import annotations

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn


class LanguageModel(PyroModule):
    """x ~ p(x): a sentence drawn word by word, with no latent.

    :param decoder: a decoder with ``latent_dim=0``; called with nothing, returns p(x).
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__("model")
        self.decoder = decoder

    @staticmethod
    def decoder_latent_dim() -> int:
        """What a run's decoder is built with as ``latent_dim``, in the place of the setting."""
        return 0

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Score ``tokens`` ``(N, T)``, or generate ``size`` sentences."""
        with pyro.plate("data", size if tokens is None else len(tokens)):
            return pyro.sample("x", self.decoder(), obs=tokens)
