# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""From hidden states to the log-probabilities of the next token."""

from __future__ import annotations

from torch import Tensor, nn

from pyro_textvae.nn.vocabulary_loss import vocabulary_loss
from pyro_textvae.special_tokens import FIRST_EMITTED


class TokenScores(nn.Linear):
    """A linear layer with one output for every id that a sentence can contain.

    ``<pad>`` and ``<bos>`` have no row: class ``c`` stands for the id ``c + FIRST_EMITTED``.

    >>> import torch
    >>> TokenScores(hidden_dim=8, vocab_size=9)(torch.zeros(2, 8)).shape
    torch.Size([2, 7])
    """

    def __init__(self, hidden_dim: int, vocab_size: int) -> None:
        super().__init__(hidden_dim, vocab_size - FIRST_EMITTED)

    def log_prob(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Log-probability (nats) of ids ``tokens`` ``(M,)`` after ``hidden`` ``(M, H)``."""
        return -vocabulary_loss(hidden, self.weight, self.bias, tokens - FIRST_EMITTED)
