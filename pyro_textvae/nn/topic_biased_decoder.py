# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A decoder whose words are favoured by topics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pyro_textvae.distributions import AutoregressiveCategorical, Context
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.special_tokens import FIRST_EMITTED, UNK


class TopicBiasedDecoder(nn.Module):
    r"""p(x | z, theta): the scores of a decoder given z, and what topics add to those of words.

    .. math::
        p(x_t \mid x_{<t}, z, \theta) = \operatorname{softmax}(s(h_t) + g(h_t) \, \theta \beta)

    h_t is the decoder's state and g, between 0 and 1, says how much place t has to do with the
    topics: little at a function word. ``<eos>`` and ``<unk>`` are in no topic.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> text = TopicBiasedDecoder(decoder, num_topics=2)(torch.zeros(5, 3), torch.ones(5, 2) / 2)
    >>> text.sample().shape
    torch.Size([5, 6])

    Source: Dieng et al. (2017), TopicRNN: A Recurrent Neural Network with Long-Range Semantic
    Dependency, https://arxiv.org/abs/1611.01702, where a place is drawn to be of the topics or not.

    :param decoder: called with z; one that attends to no source.
    :raises ValueError: for a decoder with a source.
    """

    def __init__(self, decoder: Decoder, num_topics: int) -> None:
        check_sizes(minimum=2, num_topics=num_topics)
        if decoder.takes_memory:
            raise ValueError("topics favour words of the vocabulary: give a decoder without source")
        super().__init__()
        self.decoder = decoder
        self.vocab_size = decoder.vocab_size
        self.num_topics = num_topics
        self.gate = nn.Linear(decoder.state_dim, 1)
        self.beta = nn.Parameter(torch.randn(num_topics, self.vocab_size - UNK - 1))

    def forward(self, z: Tensor, theta: Tensor) -> AutoregressiveCategorical:
        """The distribution of a text given ``z`` ``(..., D)`` and ``theta`` ``(..., K)``."""
        shape = torch.broadcast_shapes(z.shape[:-1], theta.shape[:-1])
        both = torch.cat([z.expand(*shape, -1), theta.expand(*shape, -1)], -1)
        return AutoregressiveCategorical(self, Context(both), self.decoder.max_length)

    def topics(self) -> Tensor:
        """softmax of what each topic adds to the scores of words, ``(K, vocab_size)``."""
        return pad(self.beta.softmax(-1), (UNK + 1, 0))

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        """Log-probability of every token given those before; see ``SequenceNetwork``."""
        z, theta = self._parts(context)
        hidden = self.decoder.hidden_states(tokens, z)
        shape = torch.broadcast_shapes(mask.shape[:-1], context.batch_shape) + mask.shape[-1:]
        hidden = hidden.expand(shape + hidden.shape[-1:])
        log_prob = self._scores(hidden, theta.unsqueeze(-2)).log_softmax(-1)
        places = (tokens - FIRST_EMITTED).expand(shape).unsqueeze(-1)
        return torch.where(mask, log_prob.gather(-1, places).squeeze(-1), 0.0)

    def initial_state(self, context: Context) -> Any:
        """That of the decoder; see ``SequenceNetwork``."""
        return self.decoder.initial_state(self._parts(context)[0])

    def step(self, previous: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """Scores of the next token, and the new state; see ``SequenceNetwork``."""
        z, theta = self._parts(context)
        hidden, state = self.decoder.advance(self.decoder.embed(previous), state, z)
        return self._scores(hidden, theta), state

    def _parts(self, context: Context) -> tuple[Context, Tensor]:
        assert context.z is not None
        z, theta = context.z.split([self.decoder.latent_dim, self.num_topics], -1)
        return Context(z), theta

    def _scores(self, hidden: Tensor, theta: Tensor) -> Tensor:
        hidden = self.decoder.output_dropout(hidden)
        of_topics = pad(theta @ self.beta, (UNK + 1 - FIRST_EMITTED, 0))
        return self.decoder.token_scores(hidden) + self.gate(hidden).sigmoid() * of_topics
