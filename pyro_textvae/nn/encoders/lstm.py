# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An LSTM encoder: the final states of the top layer."""

from __future__ import annotations

from torch import nn

from pyro_textvae.nn.recurrent_encoder import RecurrentEncoder


class LSTMEncoder(RecurrentEncoder):
    """Maps sentences to the top layer's hidden state at their last token.

    >>> import torch
    >>> encoder = LSTMEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8, bidirectional=True)
    >>> encoder(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 16])

    Source: Bowman et al. (2016), Generating Sentences from a Continuous Space,
    https://aclanthology.org/K16-1002/, for one direction.

    :param hidden_dim: width of the state of one direction.
    :param bidirectional: also read from the last token to the first; the final states of both
        directions are concatenated, so ``output_dim`` is ``2 * hidden_dim``.
    :raises ValueError: for a size below 1, by its name.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(nn.LSTM, vocab_size, embedding_dim, hidden_dim, num_layers, bidirectional)
