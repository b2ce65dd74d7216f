# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The vectors of the sentences of a document, each from the one before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes


class SentencePlan(nn.Module):
    """v_s, a gated recurrent unit's state after the document's vector and what is new until s.

    >>> SentencePlan(3, 5)(torch.zeros(10, 2, 1, 3), torch.zeros(10, 2, 4, 3)).shape
    torch.Size([10, 2, 4, 5])

    :param latent_dim: size of the document's vector, and of what is new in a sentence.
    :param plan_dim: size of the vector of a sentence.
    """

    def __init__(self, latent_dim: int, plan_dim: int) -> None:
        check_sizes(latent_dim=latent_dim, plan_dim=plan_dim)
        super().__init__()
        self.begin = nn.Linear(latent_dim, plan_dim)
        self.rnn = nn.GRU(2 * latent_dim, plan_dim, batch_first=True)

    def forward(self, d: Tensor, z: Tensor) -> Tensor:
        """The vectors ``(*B, S, plan_dim)`` of sentences.

        :param d: of the document, ``(*B, 1, latent_dim)``.
        :param z: of each sentence, ``(*B, S, latent_dim)``; other dimensions than S may be 1.
        """
        shape = torch.broadcast_shapes(d.shape[:-2], z.shape[:-2])
        d, z = d.expand(*shape, -1, -1), z.expand(*shape, -1, -1)
        inputs = torch.cat([d.expand_as(z), z], -1).flatten(0, -3)
        first = self.begin(d.reshape(1, -1, d.shape[-1])).tanh()
        return self.rnn(inputs, first)[0].unflatten(0, shape)
