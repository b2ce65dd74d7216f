# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A GRU decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.nn.injection import CONCATENATION, INITIAL_STATE
from pyro_textvae.nn.recurrent_decoder import RecurrentDecoder, State


class GRUDecoder(RecurrentDecoder):
    r"""p(x | z) by a GRU over the words before; called with z, it returns the distribution.

    .. math::
        p(x \mid z) = \prod_t \operatorname{softmax}(W h_t + b)_{x_t}, \qquad
        h_t = \text{GRU}([e(x_{t-1}), z], h_{t-1}), \quad h_0 = \tanh(U z + u)

    By default the initial hidden state is the tanh of a linear map of z, and z is also concatenated
    to every input embedding. With ``latent_dim=0`` it is called with nothing and is a plain
    language model.

    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> sentences = decoder(torch.zeros(2, 3))
    >>> sentences.sample().shape
    torch.Size([2, 6])
    >>> sentences.log_prob(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2])

    Source: Cho et al. (2014), Learning Phrase Representations using RNN Encoder-Decoder for
    Statistical Machine Translation, https://arxiv.org/abs/1406.1078, for the network.

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

    num_states = 1

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
        self.gru = nn.GRU(self.input_dim, hidden_dim, num_layers, batch_first=True)
        if INITIAL_STATE in self.injection:
            self.initial_hidden = nn.Linear(latent_dim, num_layers * hidden_dim)

    @property
    def network(self) -> nn.RNNBase:
        """See :class:`RecurrentDecoder`."""
        return self.gru

    def first_state(self, z: Tensor) -> State:
        """The hidden state alone, ``(N, num_layers, hidden_dim)``."""
        return (self.initial_hidden(z).tanh().unflatten(-1, (self.num_layers, -1)),)

    def loop(self, layer: int, words: Tensor, fixed: Tensor, state: State) -> Tensor:
        """See :class:`RecurrentDecoder`."""
        weight = getattr(self.gru, f"weight_hh_l{layer}")
        bias = getattr(self.gru, f"bias_hh_l{layer}")
        (hidden,) = state
        states = []
        for word in words.unbind(-2):
            reset, update, candidate = (word + fixed).chunk(3, -1)
            from_reset, from_update, remembered = F.linear(hidden, weight, bias).chunk(3, -1)
            update = (update + from_update).sigmoid()
            candidate = (candidate + (reset + from_reset).sigmoid() * remembered).tanh()
            hidden = candidate + update * (hidden - candidate)
            states.append(hidden)
        return torch.stack(states, -2)
