# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every decoder network has in common: all but how it goes from word to word."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import AutoregressiveCategorical, Context, Memory
from pyro_textvae.nn.checks import check_rates, check_sizes
from pyro_textvae.nn.tied_token_scores import TiedTokenScores
from pyro_textvae.nn.token_scores import TokenScores
from pyro_textvae.nn.word_dropout import WordDropout
from pyro_textvae.special_tokens import BOS, FIRST_EMITTED


class Decoder(nn.Module, ABC):
    """p(x | z), each word from a network over the words before; called with z, it returns p(x | z).

    A subclass says how hidden states come from embedded words and a
    :class:`~pyro_textvae.distributions.Context`, twice: for a whole known sentence
    (:meth:`unroll`), and one word at a time (:meth:`initial_state` and :meth:`advance`). Both must
    agree. Word embeddings, dropout, the scores of the vocabulary and the distribution are here.
    With ``latent_dim=0`` it is called with nothing: a language model.

    A decoder that attends to a source sets ``takes_memory = True``, is called with z and a
    :class:`~pyro_textvae.distributions.Memory`, and finds the latter in its context. Any other
    refuses a memory.

    >>> class UnigramDecoder(Decoder):
    ...     def __init__(self, vocab_size, latent_dim, max_length):
    ...         super().__init__(
    ...             vocab_size=vocab_size,
    ...             embedding_dim=1,
    ...             state_dim=latent_dim,
    ...             latent_dim=latent_dim,
    ...             max_length=max_length,
    ...         )
    ...
    ...     def unroll(self, inputs, context):
    ...         return inputs * 0 + context.z.unsqueeze(-2)
    ...
    ...     def initial_state(self, context):
    ...         return ()
    ...
    ...     def advance(self, inputs, state, context):
    ...         return context.z, state
    >>> sentences = UnigramDecoder(vocab_size=9, latent_dim=3, max_length=6)(torch.zeros(10, 2, 3))
    >>> sentences.log_prob(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([10, 2])

    :param state_dim: width of the hidden states that the vocabulary is scored from.
    :param max_length: the longest sentence, ``<eos>`` included; generation stops there.
    :param tied_embeddings: score the vocabulary by the word embeddings themselves, behind a linear
        map where ``state_dim`` is not ``embedding_dim`` (Press and Wolf, 2017,
        https://aclanthology.org/E17-2025/).
    :param embedding_dropout: rate on the entries of the input embeddings.
    :param output_dropout: rate on the hidden states before the vocabulary.
    :param word_dropout: rate at which an input word is replaced by ``<unk>``.
    :raises ValueError: for a size or a rate out of range, by its name.
    """

    takes_memory: bool = False
    """Whether the decoder attends to a source, whose memory it must then be called with."""

    def __init__(
        self,
        *,
        vocab_size: int,
        embedding_dim: int,
        state_dim: int,
        latent_dim: int,
        max_length: int,
        tied_embeddings: bool = False,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        check_sizes(
            embedding_dim=embedding_dim,
            hidden_dim=state_dim,
            max_length=max_length,
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
        self.embedding_dim = embedding_dim
        self.tied_embeddings = tied_embeddings
        self.latent_dim = latent_dim
        self.max_length = max_length
        self.word_dropout = WordDropout(word_dropout)
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.output_dropout = nn.Dropout(output_dropout)
        self.token_scores: TokenScores | TiedTokenScores = (
            TiedTokenScores(state_dim, self.embedding)
            if tied_embeddings
            else TokenScores(state_dim, vocab_size)
        )

    @abstractmethod
    def unroll(self, inputs: Tensor, context: Context) -> Tensor:
        """The hidden state before each word of known sentences.

        The state at a place may depend on the inputs up to that place, and on no later one.

        :param inputs: the embedded word before each place, first ``<bos>``, ``(*B, T, E)``.
        :param context: ``z`` ``(*S, latent_dim)``, None for a language model, and the ``memory`` of
            a source, None unless the decoder ``takes_memory``. Where ``S`` is larger than ``B``, as
            with several draws of z for one sentence, what does not depend on z is best computed
            before they are broadcast; what depends on the memory alone, from
            ``context.memory.distinct()``.
        :returns: ``(*broadcast(B, S), T, state_dim)``.
        """

    @abstractmethod
    def initial_state(self, context: Context) -> Any:
        """What :meth:`advance` starts from, for a context of batch shape ``(N,)``.

        Every tensor of a state has the N sentences as its first dimension.
        """

    @abstractmethod
    def advance(self, inputs: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """The hidden state ``(N, state_dim)`` after one more embedded word, ``(N, E)``."""

    def forward(
        self, z: Tensor | None = None, memory: Memory | None = None
    ) -> AutoregressiveCategorical:
        """The distribution of a sentence given ``z`` ``(..., latent_dim)`` and a source.

        :raises ValueError: when ``z`` has another last dimension than ``latent_dim``, for a memory
            that this decoder does not take, and for none where it takes one.
        """
        width = 0 if z is None else z.shape[-1]
        if width != self.latent_dim:
            raise ValueError(f"the decoder has latent_dim={self.latent_dim}, got z of size {width}")
        return AutoregressiveCategorical(self, Context(z, memory), self.max_length)

    def embed(self, words: Tensor) -> Tensor:
        """The network's input for each word before, ``(..., embedding_dim)``."""
        return self.embedding_dropout(self.embedding(self.word_dropout(words)))

    def embed_mean(self, shares: Tensor) -> Tensor:
        """The mean of :meth:`embed` over words, ``(..., embedding_dim)``, without its dropout.

        :param shares: of each class of :meth:`step`, ``(..., vocab_size - FIRST_EMITTED)``.
        """
        return shares @ self.embedding.weight[FIRST_EMITTED:]

    def hidden_states(self, tokens: Tensor, context: Context) -> Tensor:
        """The teacher-forced state before each token, ``(*broadcast, T, state_dim)``."""
        previous = torch.cat([torch.full_like(tokens[..., :1], BOS), tokens[..., :-1]], -1)
        return self.unroll(self.embed(previous), context)

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        """Log-probability of every token given the ones before; see ``SequenceNetwork``."""
        hidden = self.hidden_states(tokens, context)
        shape = torch.broadcast_shapes(mask.shape[:-1], context.batch_shape)
        shape += mask.shape[-1:]
        hidden = hidden.expand(shape + hidden.shape[-1:])
        tokens, mask = tokens.expand(shape), mask.expand(shape)
        if self._padding_is_scored(hidden):
            every = self.output_dropout(hidden).flatten(0, -2)
            log_prob = self.token_scores.log_prob(every, tokens.reshape(-1))
            return torch.where(mask, log_prob.view(shape), 0.0)
        real = self.token_scores.log_prob(self.output_dropout(hidden[mask]), tokens[mask])
        return real.new_zeros(shape).masked_scatter(mask, real)

    @staticmethod
    def _padding_is_scored(hidden: Tensor) -> bool:
        # Counting the tokens outside of the padding would make the host wait for a GPU.
        return hidden.is_cuda

    def step(self, previous: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """Scores of the next word and the new state; see ``SequenceNetwork``."""
        hidden, state = self.advance(self.embed(previous), state, context)
        return self.token_scores(self.output_dropout(hidden)), state
