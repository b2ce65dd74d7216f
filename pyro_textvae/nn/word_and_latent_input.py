# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The input of a network's first layer from embedded words and z, what they share computed once."""

from __future__ import annotations

from collections.abc import Collection

import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.nn.injection import ADDITION, CONCATENATION


class WordAndLatentInput(nn.Module):
    """A linear map of embedded words and, where it is injected there, of z.

    Concatenation of z to every word is one linear map of each, summed; addition is a linear map of
    z to the width of the embeddings, added to them. Either way the part of the words is computed
    once for all draws of z.

    >>> import torch
    >>> layer = WordAndLatentInput(embedding_dim=4, latent_dim=3, output_dim=8)
    >>> layer(torch.zeros(2, 5, 4), torch.zeros(10, 2, 3)).shape
    torch.Size([10, 2, 5, 8])

    :param latent_dim: size of z; 0 for a language model.
    :param injection: of ``concatenation`` and ``addition``; other ways do nothing here.
    """

    def __init__(
        self,
        embedding_dim: int,
        latent_dim: int,
        output_dim: int,
        injection: Collection[str] = (CONCATENATION,),
    ) -> None:
        super().__init__()
        self.words = nn.Linear(embedding_dim, output_dim)
        self.concatenated = (
            nn.Linear(latent_dim, output_dim, bias=False)
            if latent_dim and CONCATENATION in injection
            else None
        )
        self.added = (
            nn.Linear(latent_dim, embedding_dim, bias=False)
            if latent_dim and ADDITION in injection
            else None
        )

    def forward(self, inputs: Tensor, z: Tensor | None) -> Tensor:
        """The first layer's input for embedded words.

        :param inputs: ``(*B, T, E)``.
        :param z: ``(*S, latent_dim)``; None for a language model.
        :returns: ``(*B, T, output_dim)`` where z does not come in here, otherwise
            ``(*broadcast(B, S), T, output_dim)``.
        """
        projected = self.words(inputs)
        if z is not None and self.concatenated is not None:
            projected = projected + self.concatenated(z).unsqueeze(-2)
        if z is not None and self.added is not None:
            added = F.linear(self.added(z), self.words.weight)
            projected = projected + added.unsqueeze(-2)
        return projected
