# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The vocabulary scored by the embeddings that its words are read with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.nn.vocabulary_loss import vocabulary_loss
from pyro_textvae.special_tokens import FIRST_EMITTED


class TiedTokenScores(nn.Module):
    """As :class:`TokenScores`, with the rows of word embeddings in the place of its own weights.

    Behind a linear map where hidden states have another width than embeddings.

    >>> scores = TiedTokenScores(hidden_dim=8, embedding=nn.Embedding(9, 4))
    >>> scores(torch.zeros(2, 8)).shape
    torch.Size([2, 7])

    Source: Press and Wolf (2017), Using the Output Embedding to Improve Language Models,
    https://aclanthology.org/E17-2025/.
    """

    def __init__(self, hidden_dim: int, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding
        same = hidden_dim == embedding.embedding_dim
        self.projection = (
            nn.Identity() if same else nn.Linear(hidden_dim, embedding.embedding_dim, bias=False)
        )
        self.bias = nn.Parameter(torch.zeros(embedding.num_embeddings - FIRST_EMITTED))

    @property
    def weight(self) -> Tensor:
        """The row of each class, ``(vocab_size - FIRST_EMITTED, embedding_dim)``."""
        return self.embedding.weight[FIRST_EMITTED:]

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores of every class after ``hidden`` ``(..., H)``."""
        return F.linear(self.projection(hidden), self.weight, self.bias)

    def log_prob(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Log-probability (nats) of ids ``tokens`` ``(M,)`` after ``hidden`` ``(M, H)``."""
        classes = tokens - FIRST_EMITTED
        return -vocabulary_loss(self.projection(hidden), self.weight, self.bias, classes)
