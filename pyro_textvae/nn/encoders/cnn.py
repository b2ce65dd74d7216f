# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A convolutional encoder: the strongest answer to each pattern of neighbouring words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.encoder import EmbeddingEncoder


class CNNEncoder(EmbeddingEncoder):
    """Maps sentences to a linear map of convolutions of several widths, each at its maximum.

    A window may hang over both ends of a sentence, where it finds zeros, so a sentence may be
    shorter than a window. The maximum is taken after a ReLU. Biases start at zero, as in the
    author's code: otherwise the small embeddings at the start decide little.

    >>> encoder = CNNEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> encoder(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 8])

    Source: Kim (2014), Convolutional Neural Networks for Sentence Classification,
    https://aclanthology.org/D14-1181/; his single layer is the default, and the last linear map
    stands in the place of his classes.

    :param hidden_dim: filters of each width in each layer, and width of the features.
    :param kernel_sizes: words under the windows, one network for each.
    :param num_layers: convolutions, one on the other, before the maximum.
    :raises ValueError: for a size below 1, by its name, or no kernel size.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        *,
        kernel_sizes: Sequence[int] = (3, 4, 5),
        num_layers: int = 1,
    ) -> None:
        check_sizes(hidden_dim=hidden_dim, num_layers=num_layers)
        if not kernel_sizes or min(kernel_sizes) < 1:
            raise ValueError(
                f"kernel_sizes must be one or more sizes of at least 1, got {kernel_sizes}"
            )
        super().__init__(vocab_size, embedding_dim)
        self.hidden_dim = self.output_dim = hidden_dim
        self.kernel_sizes = tuple(kernel_sizes)
        self.num_layers = num_layers
        self.memory_dim = len(self.kernel_sizes) * hidden_dim
        self.networks = nn.ModuleList(
            _Convolutions(embedding_dim, hidden_dim, kernel_size, num_layers)
            for kernel_size in kernel_sizes
        )
        self.output = nn.Linear(len(self.networks) * hidden_dim, hidden_dim)

    def encode_embeddings(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features ``(N, output_dim)`` of vectors ``(N, T, embedding_dim)``; see ``Encoder``."""
        padding = None if mask is None else ~mask.unsqueeze(1)
        words = _without(embeddings.mT, padding)
        strongest = [network(words, padding).amax(-1) for network in self.networks]
        return self.output(torch.cat(strongest, -1))

    def states(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """The answers to all patterns at each place, ``(N, T, memory_dim)``; see ``Encoder``."""
        padding = ~mask.unsqueeze(1)
        words = _without(embeddings.mT, padding)
        return torch.cat([network(words, padding).mT for network in self.networks], -1)

    def features(self, states: Tensor, mask: Tensor) -> Tensor:
        """The linear map of the strongest answers, ``(N, output_dim)``; see ``Encoder``."""
        return self.output(states.amax(-2))


class _Convolutions(nn.Module):
    """Convolutions of one kernel size, with a ReLU each; as many places come out as go in."""

    def __init__(
        self, embedding_dim: int, hidden_dim: int, kernel_size: int, num_layers: int
    ) -> None:
        super().__init__()
        self.overhang = ((kernel_size - 1) // 2, kernel_size // 2)
        widths = [embedding_dim, *[hidden_dim] * (num_layers - 1)]
        layers = [nn.Conv1d(width, hidden_dim, kernel_size) for width in widths]
        for layer in layers:
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(layers)

    def forward(self, words: Tensor, padding: Tensor | None) -> Tensor:
        """States ``(N, hidden_dim, T)`` of ``(N, embedding_dim, T)``.

        None is below zero, so those of padding, which are zero, are never more than the others.
        """
        states = words
        for layer in self.layers:
            states = _without(layer(F.pad(states, self.overhang)).relu(), padding)
        return states


def _without(states: Tensor, padding: Tensor | None) -> Tensor:
    """States ``(N, C, T)`` with zeros at padded places, which are true in ``(N, 1, T)``."""
    return states if padding is None else states.masked_fill(padding, 0.0)
