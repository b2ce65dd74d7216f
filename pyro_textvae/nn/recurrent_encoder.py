# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the LSTM and the GRU encoder share: final states, right under padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.encoder import EmbeddingEncoder
from pyro_textvae.nn.recurrence import run_recurrence

Recurrence = type[nn.LSTM] | type[nn.GRU]


class RecurrentEncoder(EmbeddingEncoder):
    """Maps sentences to the final hidden state of a recurrent network's top layer.

    In one direction it is the state at the last token. In both, the state of the backward direction
    at the first token follows it; that direction begins at each sentence's own last token.

    Source: Schuster and Paliwal (1997), Bidirectional Recurrent Neural Networks,
    https://doi.org/10.1109/78.650093, for both directions.

    :param recurrence: ``nn.LSTM`` or ``nn.GRU``; kept as the attribute ``lstm`` or ``gru``, names
        that are in the files of trained weights.
    :param hidden_dim: width of the state of one direction.
    :raises ValueError: for a size below 1, by its name.
    """

    def __init__(
        self,
        recurrence: Recurrence,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        bidirectional: bool,
    ) -> None:
        check_sizes(hidden_dim=hidden_dim, num_layers=num_layers)
        super().__init__(vocab_size, embedding_dim)
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.output_dim = self.memory_dim = 2 * hidden_dim if bidirectional else hidden_dim
        self._network_name = recurrence.__name__.lower()
        self.add_module(
            self._network_name,
            _BothDirections(recurrence, embedding_dim, hidden_dim, num_layers)
            if bidirectional
            else recurrence(embedding_dim, hidden_dim, num_layers, batch_first=True),
        )

    def encode_embeddings(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features ``(N, output_dim)`` of vectors ``(N, T, embedding_dim)``; see ``Encoder``."""
        if mask is None:
            mask = embeddings.new_ones(embeddings.shape[:-1], dtype=torch.bool)
        return self.features(self.states(embeddings, mask), mask)

    def states(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """The top layer's states, ``(N, T, output_dim)``; see ``Encoder``."""
        network = self.get_submodule(self._network_name)
        if self.bidirectional:
            return network(embeddings, _backwards(mask, mask.sum(-1, keepdim=True)))
        states, _ = run_recurrence(network, embeddings)
        return states

    def features(self, states: Tensor, mask: Tensor) -> Tensor:
        """The states at the ends of a sentence, ``(N, output_dim)``; see ``Encoder``."""
        length = mask.sum(-1, keepdim=True)
        last = states.take_along_dim((length - 1).unsqueeze(-1), 1).squeeze(1)
        if not self.bidirectional:
            return last
        return torch.cat([last.chunk(2, -1)[0], states[:, 0].chunk(2, -1)[1]], -1)


class _BothDirections(nn.Module):
    """Layers of two networks each, one of which reads every sentence from its end.

    ``nn.LSTM(bidirectional=True)`` would begin in the padding, unless sentences are packed, for
    which their lengths must be known to the host: a wait for the device in every step.
    """

    def __init__(
        self, recurrence: Recurrence, input_dim: int, hidden_dim: int, num_layers: int
    ) -> None:
        super().__init__()
        widths = [input_dim, *[2 * hidden_dim] * (num_layers - 1)]
        self.ahead = nn.ModuleList(recurrence(w, hidden_dim, batch_first=True) for w in widths)
        self.back = nn.ModuleList(recurrence(w, hidden_dim, batch_first=True) for w in widths)

    def forward(self, inputs: Tensor, backwards: Tensor) -> Tensor:
        """The top layer's states at each place, ``(N, T, 2 * hidden_dim)``.

        :param inputs: ``(N, T, input_dim)``. :param backwards: see :func:`_backwards`.
        """
        states = inputs
        for ahead, back in zip(self.ahead, self.back, strict=True):
            first, _ = run_recurrence(ahead, states)
            second, _ = run_recurrence(back, states.take_along_dim(backwards, 1))
            states = torch.cat([first, second.take_along_dim(backwards, 1)], -1)
        return states


def _backwards(mask: Tensor, length: Tensor) -> Tensor:
    """Indices ``(N, T, 1)`` that reverse each sentence and leave its padding where it is."""
    places = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask, length - 1 - places, places).unsqueeze(-1)
