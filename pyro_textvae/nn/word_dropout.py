# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Word dropout: the decoder sees ``<unk>`` in place of some of the words before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.special_tokens import FIRST_EMITTED, UNK


class WordDropout(nn.Module):
    """Replaces each word by ``<unk>`` with a given rate in training, and never outside it.

    Distinct from the dropout of embedding entries; what is predicted stays the real word.

    >>> WordDropout(0.5).eval()(torch.tensor([[4, 5, 2]])).tolist()
    [[4, 5, 2]]

    Source: Bowman et al. (2016), Generating Sentences from a Continuous Space, section 3.1,
    https://aclanthology.org/K16-1002/.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, tokens: Tensor) -> Tensor:
        """Ids of the same shape; ``<pad>`` and ``<bos>`` are left as they are."""
        if not self.training or self.rate == 0:
            return tokens
        dropped = torch.rand(tokens.shape, device=tokens.device) < self.rate
        return tokens.masked_fill(dropped & (tokens >= FIRST_EMITTED), UNK)
