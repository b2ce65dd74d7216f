# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every decoder network has in common: all but how it goes from word to word."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import AutoregressiveCategorical, Context, Memory
from pyro_textvae.nn.abstract_module import AbstractModule
from pyro_textvae.nn.checks import check_rates, check_sizes
from pyro_textvae.nn.in_vocabulary import in_vocabulary
from pyro_textvae.nn.source_reader import SourceReader
from pyro_textvae.nn.tied_token_scores import TiedTokenScores
from pyro_textvae.nn.token_scores import TokenScores
from pyro_textvae.nn.word_dropout import WordDropout
from pyro_textvae.shared_batch import rows_of_mask
from pyro_textvae.special_tokens import BOS, FIRST_EMITTED, UNK


class Scores(Protocol):
    """What turns hidden states into the scores of the vocabulary; a module."""

    @property
    def bias(self) -> Tensor:
        """What is added to the score of each class."""

    def __call__(self, hidden: Tensor) -> Tensor:
        """Scores of every class after ``hidden`` ``(..., H)``."""

    def log_prob(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Log-probability (nats) of ids ``tokens`` ``(M,)`` after ``hidden`` ``(M, H)``."""


class Decoder(AbstractModule):
    """p(x | z), each word from a network over the words before; called with z, it returns p(x | z).

    A subclass says how hidden states come from embedded words and a
    :class:`~pyro_textvae.distributions.Context`, twice: for a whole known sentence
    (:meth:`unroll`), and one word at a time (:meth:`initial_state` and :meth:`advance`). Both must
    agree. Word embeddings, dropout, the scores of the vocabulary and the distribution are here.
    With ``latent_dim=0`` it is called with nothing: a language model.

    With a ``memory_dim`` it attends to a source: it is called with z and a
    :class:`~pyro_textvae.distributions.Memory`, and each state, before the vocabulary, is joined
    with what it finds there; with ``copying`` words may be taken from the source too, also those
    beyond the vocabulary, which have no vector but that of ``<unk>``. A subclass
    has nothing to do for that; it finds the memory in its context where it looks at it earlier.
    Without ``memory_dim`` a memory is refused.

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
    :param memory_dim: width of the states of a source; 0 for a decoder without one.
    :param copying: whether words may be copied from the source.
    :param embedding: maps ids to vectors, in the place of a table of its own.
    :param token_scores: scores the vocabulary, in the place of a layer of its own; given with
        ``embedding``.
    :raises ValueError: for a size or a rate out of range, by its name, and for copying without a
        source.
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
        memory_dim: int = 0,
        copying: bool = False,
        embedding: nn.Module | None = None,
        token_scores: Scores | None = None,
    ) -> None:
        check_sizes(
            embedding_dim=embedding_dim,
            hidden_dim=state_dim,
            max_length=max_length,
            vocab_size=vocab_size,
        )
        check_sizes(minimum=0, latent_dim=latent_dim, memory_dim=memory_dim)
        if copying and not memory_dim:
            raise ValueError("copying needs a source to copy from: give memory_dim, its width")
        check_rates(
            embedding_dropout=embedding_dropout,
            output_dropout=output_dropout,
            word_dropout=word_dropout,
        )
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding_dim = embedding_dim
        self.state_dim = state_dim
        self.tied_embeddings = tied_embeddings
        self.latent_dim = latent_dim
        self.max_length = max_length
        self.word_dropout = WordDropout(word_dropout)
        if embedding is None:
            table = nn.Embedding(vocab_size, embedding_dim)
            nn.init.uniform_(table.weight, -0.1, 0.1)
            embedding = table
            if tied_embeddings:
                token_scores = TiedTokenScores(state_dim, table)
        self.embedding = embedding
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.output_dropout = nn.Dropout(output_dropout)
        self.token_scores: Scores = token_scores or TokenScores(state_dim, vocab_size)
        self.memory_dim = memory_dim
        self.copying = copying
        self.source: SourceReader | None = None
        if memory_dim:
            self.takes_memory = True
            self.source = SourceReader(state_dim, memory_dim, copying)

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
        words = in_vocabulary(words, self.vocab_size)
        return self.embedding_dropout(self.embedding(self.word_dropout(words)))

    def embed_mean(self, shares: Tensor) -> Tensor:
        """The mean of :meth:`embed` over words, ``(..., embedding_dim)``, without its dropout.

        :param shares: of each class of :meth:`step`, ``(..., vocab_size - FIRST_EMITTED)``; of
            words beyond the vocabulary too.
        """
        table = self.embedding.weight
        assert isinstance(table, Tensor)
        size = self.vocab_size - FIRST_EMITTED
        mean = shares[..., :size] @ table[FIRST_EMITTED:]
        if shares.shape[-1] > size:
            mean = mean + shares[..., size:].sum(-1, keepdim=True) * table[UNK]
        return mean

    def hidden_states(self, tokens: Tensor, context: Context) -> Tensor:
        """The teacher-forced state before each token, ``(*broadcast, T, state_dim)``."""
        previous = torch.cat([torch.full_like(tokens[..., :1], BOS), tokens[..., :-1]], -1)
        return self.unroll(self.embed(previous), context)

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        """Log-probability of every token given the ones before; see ``SequenceNetwork``."""
        hidden = self.hidden_states(tokens, context)
        shape = torch.broadcast_shapes(mask.shape[:-1], context.batch_shape)
        shape += mask.shape[-1:]
        if self.source is not None:
            assert context.memory is not None
            memory = context.memory.distinct()
            hidden, weights = self.source(hidden, memory)
            if self.copying:
                given = (hidden, weights, memory.ids, tokens, mask, shape)
                return self._log_prob_with_copies(self.source, *given)
        hidden = hidden.expand(shape + hidden.shape[-1:])
        tokens, mask = tokens.expand(shape), mask.expand(shape)
        if self._padding_is_scored(hidden):
            every = self.output_dropout(hidden).flatten(0, -2)
            log_prob = self.token_scores.log_prob(every, tokens.reshape(-1))
            return torch.where(mask, log_prob.view(shape), 0.0)
        with rows_of_mask(mask):
            dropped = self.output_dropout(hidden[mask])
        real = self.token_scores.log_prob(dropped, tokens[mask])
        return real.new_zeros(shape).masked_scatter(mask, real)

    def _log_prob_with_copies(
        self,
        source: SourceReader,
        hidden: Tensor,
        weights: Tensor,
        ids: Tensor,
        tokens: Tensor,
        mask: Tensor,
        shape: torch.Size,
    ) -> Tensor:
        # (*, T, S): which places of the source hold the word of each place.
        matches = tokens.unsqueeze(-1) == ids.unsqueeze(-2)
        hidden = hidden.expand(shape + hidden.shape[-1:])
        weights = weights.expand(shape + weights.shape[-1:])
        matches = matches.expand(shape + matches.shape[-1:])
        tokens, mask = tokens.expand(shape), mask.expand(shape)
        if self._padding_is_scored(hidden):
            parts = (hidden.flatten(0, -2), weights.flatten(0, -2), matches.flatten(0, -2))
            every = self._mixed_log_prob(source, *parts, tokens.reshape(-1))
            return torch.where(mask, every.view(shape), 0.0)
        with rows_of_mask(mask):
            real = self._mixed_log_prob(
                source, hidden[mask], weights[mask], matches[mask], tokens[mask]
            )
        return real.new_zeros(shape).masked_scatter(mask, real)

    def _mixed_log_prob(
        self, source: SourceReader, hidden: Tensor, weights: Tensor, matches: Tensor, words: Tensor
    ) -> Tensor:
        of_vocabulary = in_vocabulary(words, self.vocab_size)
        log_prob = self.token_scores.log_prob(self.output_dropout(hidden), of_vocabulary)
        # A word beyond the vocabulary comes from the source alone.
        log_prob = log_prob.masked_fill(words >= self.vocab_size, -torch.inf)
        return source.mixed_log_prob(log_prob, hidden, weights, matches)

    @staticmethod
    def _padding_is_scored(hidden: Tensor) -> bool:
        # Counting the tokens outside of the padding would make the host wait for a GPU.
        return hidden.is_cuda

    def step(self, previous: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """Scores of the next word and the new state; see ``SequenceNetwork``."""
        hidden, state = self.advance(self.embed(previous), state, context)
        if self.source is None:
            return self.token_scores(self.output_dropout(hidden)), state
        assert context.memory is not None
        joined, weights = self.source(hidden.unsqueeze(-2), context.memory)
        hidden, weights = joined.squeeze(-2), weights.squeeze(-2)
        scores = self.token_scores(self.output_dropout(hidden))
        return self.source.mixed_scores(scores, hidden, weights, context.memory.ids), state
