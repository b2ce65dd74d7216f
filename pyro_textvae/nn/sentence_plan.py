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
        return self.step(self.first(d), d, z)

    def first(self, d: Tensor) -> Tensor:
        """v before the first sentence, ``(*B, 1, plan_dim)``."""
        begun: Tensor = self.begin(d).tanh()
        return begun

    def step(self, v: Tensor, d: Tensor, z: Tensor) -> Tensor:
        """The vectors of sentences that come after one whose vector is ``v``.

        :param v: ``(*B, 1, plan_dim)``.
        """
        shape = torch.broadcast_shapes(v.shape[:-2], d.shape[:-2], z.shape[:-2])
        d, z = d.expand(*shape, -1, -1), z.expand(*shape, -1, -1)
        inputs = torch.cat([d.expand_as(z), z], -1).flatten(0, -3)
        first = v.expand(*shape, -1, -1).reshape(1, -1, v.shape[-1])
        return self.rnn(inputs, first)[0].unflatten(0, shape)
