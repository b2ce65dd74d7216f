# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A decoder of lines of verse, each of whose places is told what must stand there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from pyro_textvae.distributions import AutoregressiveCategorical, Context, Memory
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.rows_there import of_rows_there
from pyro_textvae.nn.tied_token_scores import TiedTokenScores
from pyro_textvae.nn.token_scores import TokenScores
from pyro_textvae.special_tokens import BOS


class MetreDecoder(nn.Module):
    r"""p(line | v, places): a decoder given v that knows the kind of each place, c_1, c_2, ...

    .. math::
        p(x_t \mid x_{<t}, v, c) = \operatorname{softmax}(W h_t + B_{c_t}), \qquad
        h_t = \operatorname{decoder}(e(x_{t-1}) + a_t, h_{t-1}, v), \quad
        a_t = \operatorname{GRU}(c_t, a_{t+1})

    a_t tells what must stand at place t and at all places after it: a sign may be right here and
    leave no good one for the next. Nothing is forbidden: what a place asks for is learned.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> places = torch.tensor([[[1, 2, 0, 0, 0, 0]]])
    >>> MetreDecoder(decoder, num_places=3)(torch.zeros(10, 1, 1, 3), places).sample().shape
    torch.Size([10, 1, 1, 6])

    :param decoder: called with v; one that attends to no source. Its scores of the vocabulary are
        made anew, from its states and the kind of the place.
    :param num_places: how many kinds of places there are.
    :raises ValueError: for a decoder with a source.
    """

    takes_memory = True
    """The places are kept as the memory of a line: one state and one id each."""

    def __init__(self, decoder: Decoder, num_places: int) -> None:
        check_sizes(num_places=num_places)
        if decoder.takes_memory:
            raise ValueError("the places of a line are its source: give a decoder without one")
        super().__init__()
        self.decoder = decoder
        self.vocab_size = decoder.vocab_size
        self.num_places = num_places
        width, state_dim = decoder.embedding_dim, decoder.state_dim + num_places
        if decoder.tied_embeddings and isinstance(decoder.embedding, nn.Embedding):
            decoder.token_scores = TiedTokenScores(state_dim, decoder.embedding)
        else:
            decoder.token_scores = TokenScores(state_dim, decoder.vocab_size)
        self.place = nn.Embedding(num_places, width)
        self.ahead = nn.GRU(width, width, batch_first=True)

    def forward(
        self, v: Tensor, places: Tensor, there: Tensor | None = None
    ) -> AutoregressiveCategorical:
        """The distribution of lines given ``v`` ``(..., D)`` and their places.

        :param places: ``(*B, max_length)`` int64, where ``B`` broadcasts against that of ``v``.
        :param there: which lines there are, ``B``: of the others nothing is read; by default all.
        """
        there = torch.ones_like(places[..., 0], dtype=torch.bool) if there is None else there
        ahead = of_rows_there(self._ahead, places, there)
        memory = Memory(ahead, torch.ones_like(places, dtype=torch.bool), places)
        return AutoregressiveCategorical(self, Context(v, memory), self.decoder.max_length)

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        """Log-probability of every token given those before; see ``SequenceNetwork``."""
        assert context.memory is not None
        memory, length = context.memory.distinct(), tokens.shape[-1]
        previous = torch.cat([torch.full_like(tokens[..., :1], BOS), tokens[..., :-1]], -1)
        inputs = self.decoder.embed(previous) + memory.states[..., :length, :]
        hidden = self.decoder.unroll(inputs, Context(context.z))
        shape = torch.broadcast_shapes(mask.shape[:-1], context.batch_shape) + mask.shape[-1:]
        hidden = self._with_place(hidden.expand(*shape, -1), memory.ids[..., :length])
        tokens, mask = tokens.expand(shape), mask.expand(shape)
        if hidden.is_cuda:
            # Counting the tokens outside of the padding would make the host wait for a GPU.
            every = self.decoder.token_scores.log_prob(hidden.flatten(0, -2), tokens.reshape(-1))
            return torch.where(mask, every.view(shape), 0.0)
        real = self.decoder.token_scores.log_prob(hidden[mask], tokens[mask])
        return real.new_zeros(shape).masked_scatter(mask, real)

    def initial_state(self, context: Context) -> Any:
        """That of the decoder, and the place of the next token; see ``SequenceNetwork``."""
        assert context.memory is not None
        first = torch.zeros_like(context.memory.ids[:, :1])
        return self.decoder.initial_state(Context(context.z)), first

    def step(self, previous: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """Scores of the next token, and the new state; see ``SequenceNetwork``."""
        assert context.memory is not None
        inner, place = state
        rows = torch.arange(len(place), device=place.device)
        at = rows, place.squeeze(1)
        inputs = self.decoder.embed(previous) + context.memory.states[at]
        hidden, inner = self.decoder.advance(inputs, inner, Context(context.z))
        scores = self.decoder.token_scores(self._with_place(hidden, context.memory.ids[at]))
        last = context.memory.ids.shape[-1] - 1
        return scores, (inner, (place + 1).clamp(max=last))

    def _ahead(self, places: Tensor) -> Tensor:
        """a_t of each place of the lines ``(M, T)``."""
        ahead: Tensor = self.ahead(self.place(places).flip(1))[0].flip(1)
        return ahead

    def _with_place(self, hidden: Tensor, places: Tensor) -> Tensor:
        kinds = one_hot(places, self.num_places).to(hidden.dtype)
        kinds = kinds.expand(*hidden.shape[:-1], -1)
        return torch.cat([self.decoder.output_dropout(hidden), kinds], -1)
