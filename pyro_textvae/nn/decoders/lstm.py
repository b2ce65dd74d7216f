# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An LSTM decoder that receives z as its initial state and at every step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.nn.checks import check_rates, check_sizes
from pyro_textvae.nn.token_scores import TokenScores
from pyro_textvae.nn.word_dropout import WordDropout
from pyro_textvae.special_tokens import BOS

State = tuple[Tensor, Tensor]


class LSTMDecoder(nn.Module):
    """p(x | z) by an LSTM over the words before; called with z, it returns the distribution.

    The initial cell is a linear map of z and the initial hidden state its tanh; z is also
    concatenated to every input embedding, as in Yang et al. (2017) and He et al. (2019). With
    ``latent_dim=0`` it is called with nothing and is a plain language model.

    :param max_length: the longest sentence, ``<eos>`` included; generation stops there.
    :param embedding_dropout: rate on the entries of the input embeddings.
    :param output_dropout: rate on the hidden states before the vocabulary.
    :param word_dropout: rate at which an input word is replaced by ``<unk>``.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        latent_dim: int,
        max_length: int,
        *,
        num_layers: int = 1,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        check_sizes(
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            max_length=max_length,
            num_layers=num_layers,
            vocab_size=vocab_size,
        )
        check_sizes(minimum=0, latent_dim=latent_dim)
        check_rates(
            embedding_dropout=embedding_dropout,
            output_dropout=output_dropout,
            word_dropout=word_dropout,
        )
        super().__init__()
        self.vocab_size = vocab_size
        self.latent_dim = latent_dim
        self.max_length = max_length
        self.num_layers = num_layers
        self.word_dropout = WordDropout(word_dropout)
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.lstm = nn.LSTM(embedding_dim + latent_dim, hidden_dim, num_layers, batch_first=True)
        self.output_dropout = nn.Dropout(output_dropout)
        self.token_scores = TokenScores(hidden_dim, vocab_size)
        if latent_dim:
            self.initial_cell = nn.Linear(latent_dim, num_layers * hidden_dim)

    def forward(self, z: Tensor | None = None) -> AutoregressiveCategorical:
        """The distribution of a sentence given ``z`` ``(..., latent_dim)``.

        :raises ValueError: when ``z`` has another last dimension than ``latent_dim``.
        """
        width = 0 if z is None else z.shape[-1]
        if width != self.latent_dim:
            raise ValueError(f"the decoder has latent_dim={self.latent_dim}, got z of size {width}")
        return AutoregressiveCategorical(self, z, self.max_length)

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Tensor | None) -> Tensor:
        """Log-probability of every token given the ones before; see ``SequenceNetwork``."""
        hidden = self.hidden_states(tokens, context)
        mask = mask.expand(hidden.shape[:-1])
        real = self.token_scores.log_prob(
            self.output_dropout(hidden[mask]), tokens.expand(mask.shape)[mask]
        )
        return hidden.new_zeros(mask.shape).masked_scatter(mask, real)

    def hidden_states(self, tokens: Tensor, context: Tensor | None) -> Tensor:
        """The teacher-forced state before each token, ``(*broadcast, T, hidden_dim)``."""
        previous = torch.cat([torch.full_like(tokens[..., :1], BOS), tokens[..., :-1]], -1)
        inputs = self.embedding_dropout(self.embedding(self.word_dropout(previous)))
        length = tokens.shape[-1]
        shape = tokens.shape[:-1]
        if context is not None:
            shape = torch.broadcast_shapes(shape, context.shape[:-1])
            context = context.expand(shape + context.shape[-1:])
            repeated = context.unsqueeze(-2).expand(shape + (length, self.latent_dim))
            inputs = torch.cat([inputs.expand(shape + inputs.shape[-2:]), repeated], -1)
            context = context.reshape(-1, self.latent_dim)
        inputs = inputs.reshape(-1, length, inputs.shape[-1])
        hidden, _ = self.lstm(inputs, self.initial_state(context, len(inputs)))
        return hidden.reshape(shape + hidden.shape[-2:])

    def initial_state(self, context: Tensor | None, batch_size: int) -> State:
        """Hidden and cell state before the first word, each ``(num_layers, batch_size, H)``."""
        if context is None:
            weight = self.token_scores.weight
            zeros = weight.new_zeros(self.num_layers, batch_size, self.lstm.hidden_size)
            return zeros, zeros
        cell = self.initial_cell(context).unflatten(-1, (self.num_layers, -1))
        cell = cell.transpose(0, 1).contiguous()
        return cell.tanh(), cell

    def step(self, previous: Tensor, state: State, context: Tensor | None) -> tuple[Tensor, State]:
        """Scores of the next word and the new state; see ``SequenceNetwork``."""
        inputs = self.embedding_dropout(self.embedding(self.word_dropout(previous)))
        if context is not None:
            inputs = torch.cat([inputs, context], -1)
        hidden, state = self.lstm(inputs.unsqueeze(1), state)
        return self.token_scores(self.output_dropout(hidden.squeeze(1))), state
