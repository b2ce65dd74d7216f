# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a guide asks of an encoder network."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import Memory, sentence_mask
from pyro_textvae.errors import UserError
from pyro_textvae.nn.abstract_module import AbstractModule
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.in_vocabulary import in_vocabulary
from pyro_textvae.nn.unknown_words import tell_unknown_words_apart


class Encoder(AbstractModule):
    """A network that reads sentences.

    >>> import torch
    >>> class LengthEncoder(Encoder):
    ...     output_dim = 1
    ...
    ...     def forward(self, tokens):
    ...         return sentence_mask(tokens).sum(-1, keepdim=True).float()
    >>> LengthEncoder()(torch.tensor([[4, 5, 2], [6, 2, 0]])).tolist()
    [[3.0], [2.0]]
    """

    output_dim: int
    """Width of the features."""

    @abstractmethod
    def forward(self, tokens: Tensor) -> Tensor:
        """Features ``(N, output_dim)`` of right-padded ``tokens`` ``(N, T)``.

        Padding must have no effect.
        """

    memory_dim: int
    """Width of the states that :meth:`read` gives."""

    def read(self, source: Tensor) -> tuple[Memory, Tensor]:
        """A memory of what is read, and its features ``(N, output_dim)``.

        A program with a source asks for it, in one pass over the source.

        :param source: right-padded ids ``(N, S)``.
        :raises ValueError: where an encoder does not say how.
        """
        raise ValueError(
            f"{type(self).__name__} has no method read, so no decoder can attend to its states: "
            "write one, or choose another encoder"
        )

    def encode_embeddings(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features ``(N, output_dim)`` of vectors ``(N, T, embedding_dim)`` in the place of words.

        A prior whose components are posteriors of pseudo-inputs asks for it; nothing else does.

        :param mask: true at the places that count, ``(N, T)``, one or more from the left; by
            default all.
        :raises ValueError: where an encoder does not say how.
        """
        raise ValueError(
            f"{type(self).__name__} has no method encode_embeddings, so it can read words only: "
            "write one, or choose another encoder"
        )


class EmbeddingEncoder(Encoder):
    """An encoder that embeds its words first; a subclass says how vectors become features.

    >>> import torch
    >>> class SumEncoder(EmbeddingEncoder):
    ...     def __init__(self, vocab_size, embedding_dim):
    ...         super().__init__(vocab_size, embedding_dim)
    ...         self.output_dim = embedding_dim
    ...
    ...     def encode_embeddings(self, embeddings, mask=None):
    ...         if mask is not None:
    ...             embeddings = embeddings * mask.unsqueeze(-1)
    ...         return embeddings.sum(1)
    >>> SumEncoder(vocab_size=9, embedding_dim=4)(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 4])
    """

    def __init__(self, vocab_size: int, embedding_dim: int) -> None:
        check_sizes(embedding_dim=embedding_dim, vocab_size=vocab_size)
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding_dim = embedding_dim
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Features ``(N, output_dim)`` of right-padded ``tokens`` ``(N, T)``.

        :raises UserError: for what are no ids.
        """
        _check_ids(tokens)
        return self.encode_embeddings(self._embedded(tokens), sentence_mask(tokens))

    def read(self, source: Tensor) -> tuple[Memory, Tensor]:
        """A memory of what is read, and its features ``(N, output_dim)``; see ``Encoder``.

        Words beyond the vocabulary are told apart by the order in which they first come.

        :raises UserError: for what are no ids.
        """
        _check_ids(source)
        mask = sentence_mask(source)
        vectors = tell_unknown_words_apart(self._embedded(source), source, self.vocab_size)
        states = self.states(vectors, mask)
        return Memory(states, mask, source), self.features(states, mask)

    def _embedded(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.embedding(in_vocabulary(ids, self.vocab_size))
        return vectors

    def states(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """One vector for each place, ``(N, T, memory_dim)``, from what is embedded there.

        :raises ValueError: where an encoder does not say how.
        """
        raise ValueError(
            f"{type(self).__name__} has no method states, so no decoder can attend to them: write "
            "one, and features beside it, or choose another encoder"
        )

    def features(self, states: Tensor, mask: Tensor) -> Tensor:
        """Features ``(N, output_dim)`` of the states of all places.

        :raises ValueError: where an encoder does not say how.
        """
        raise ValueError(
            f"{type(self).__name__} has no method features of the states of all places: write one, "
            "or choose another encoder"
        )

    @abstractmethod
    def encode_embeddings(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features ``(N, output_dim)`` of vectors ``(N, T, embedding_dim)``; see ``Encoder``."""


def _check_ids(tokens: Tensor) -> None:
    if tokens.dtype not in (torch.int64, torch.int32):
        raise UserError(f"an encoder takes ids, int64 (N, T), got {tokens.dtype}")
