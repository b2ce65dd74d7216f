# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An LSTM decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyro_textvae.nn.injection import CONCATENATION, INITIAL_STATE
from pyro_textvae.nn.recurrent_decoder import RecurrentDecoder, State


class LSTMDecoder(RecurrentDecoder):
    r"""p(x | z) by an LSTM over the words before; called with z, it returns the distribution.

    .. math::
        p(x \mid z) = \prod_t \operatorname{softmax}(W h_t + b)_{x_t}, \qquad
        (h_t, c_t) = \text{LSTM}([e(x_{t-1}), z], h_{t-1}, c_{t-1}), \quad
        c_0 = U z + u, \; h_0 = \tanh c_0

    By default the initial cell is a linear map of z and the initial hidden state its tanh, and z is
    also concatenated to every input embedding. With ``latent_dim=0`` it is called with nothing and
    is a plain language model.

    >>> decoder = LSTMDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> sentences = decoder(torch.zeros(2, 3))
    >>> sentences.sample().shape
    torch.Size([2, 6])
    >>> sentences.log_prob(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2])

    Source: Yang et al. (2017), Improved Variational Autoencoders for Text Modeling using Dilated
    Convolutions, https://arxiv.org/abs/1702.08139, and He et al. (2019), Lagging Inference Networks
    and Posterior Collapse, https://arxiv.org/abs/1901.05534, for how z comes in.

    :param max_length: the longest sentence, ``<eos>`` included; generation stops there.
    :param injection: how z comes in: one or several of ``initial_state``, ``concatenation``,
        ``addition`` and ``attention``.
    :param num_slots: memory slots of z for ``attention``.
    :param tied_embeddings: score the vocabulary by the word embeddings.
    :param embedding_dropout: rate on the entries of the input embeddings.
    :param output_dropout: rate on the hidden states before the vocabulary.
    :param word_dropout: rate at which an input word is replaced by ``<unk>``.
    :param memory_dim: see :class:`~pyro_textvae.nn.decoder.Decoder`; ``copying`` also.
    """

    num_states = 2

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        latent_dim: int,
        max_length: int,
        *,
        num_layers: int = 1,
        injection: str | Sequence[str] = (INITIAL_STATE, CONCATENATION),
        num_slots: int = 4,
        tied_embeddings: bool = False,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        word_dropout: float = 0.0,
        memory_dim: int = 0,
        copying: bool = False,
    ) -> None:
        super().__init__(
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            latent_dim=latent_dim,
            max_length=max_length,
            num_layers=num_layers,
            injection=injection,
            num_slots=num_slots,
            tied_embeddings=tied_embeddings,
            embedding_dropout=embedding_dropout,
            output_dropout=output_dropout,
            word_dropout=word_dropout,
            memory_dim=memory_dim,
            copying=copying,
        )
        self.lstm = nn.LSTM(self.input_dim, hidden_dim, num_layers, batch_first=True)
        if INITIAL_STATE in self.injection:
            self.initial_cell = nn.Linear(latent_dim, num_layers * hidden_dim)

    @property
    def network(self) -> nn.RNNBase:
        """See :class:`RecurrentDecoder`."""
        return self.lstm

    def first_state(self, z: Tensor) -> State:
        """Hidden state and cell, each ``(N, num_layers, hidden_dim)``."""
        cell = self.initial_cell(z).unflatten(-1, (self.num_layers, -1))
        return cell.tanh(), cell

    def loop(self, layer: int, words: Tensor, fixed: Tensor, state: State) -> Tensor:
        """See :class:`RecurrentDecoder`."""
        weight = getattr(self.lstm, f"weight_hh_l{layer}").T
        fixed = fixed + getattr(self.lstm, f"bias_hh_l{layer}")
        hidden, cell = state
        if fixed.dim() > 1:
            fixed = fixed.expand(hidden.shape[:-1] + fixed.shape[-1:]).flatten(0, -2)
        states = []
        for word in words.unbind(-2):
            gates = torch.addmm(fixed, hidden.flatten(0, -2), weight)
            gates = gates.unflatten(0, hidden.shape[:-1]) + word
            to_input, to_forget, candidate, to_output = gates.chunk(4, -1)
            cell = to_forget.sigmoid() * cell + to_input.sigmoid() * candidate.tanh()
            hidden = to_output.sigmoid() * cell.tanh()
            states.append(hidden)
        return torch.stack(states, -2)
