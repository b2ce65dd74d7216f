# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A decoder that is not told the words before: all it knows is z."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyro_textvae.nn.decoders.lstm import LSTMDecoder
from pyro_textvae.nn.injection import CONCATENATION, INITIAL_STATE


class InputlessDecoder(LSTMDecoder):
    r"""p(x | z) by an LSTM that reads the same learned vector at every word.

    .. math::
        p(x \mid z) = \prod_t p(x_t \mid z, t)

    So everything about the sentence must be in z. Any decoder with a ``word_dropout`` of one, in
    training and outside, would be like it.

    >>> decoder = InputlessDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> sentences = decoder(torch.zeros(2, 3))
    >>> sentences.sample().shape
    torch.Size([2, 6])
    >>> sentences.log_prob(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2])

    Source: Bowman et al. (2016), Generating Sentences from a Continuous Space, section 3.1 and
    table 2, https://aclanthology.org/K16-1002/.

    Parameters as those of :class:`LSTMDecoder`.
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
        injection: str | Sequence[str] = (INITIAL_STATE, CONCATENATION),
        num_slots: int = 4,
        output_dropout: float = 0.0,
        memory_dim: int = 0,
        copying: bool = False,
    ) -> None:
        super().__init__(
            vocab_size,
            embedding_dim,
            hidden_dim,
            latent_dim,
            max_length,
            num_layers=num_layers,
            injection=injection,
            num_slots=num_slots,
            output_dropout=output_dropout,
            memory_dim=memory_dim,
            copying=copying,
        )
        self.embedding = nn.Embedding(1, embedding_dim)

    def embed(self, words: Tensor) -> Tensor:
        """The one vector, in the place of each of ``words``."""
        return self.embedding(torch.zeros_like(words))

    def embed_mean(self, shares: Tensor) -> Tensor:
        """The one vector, whatever the ``shares`` are."""
        table = self.embedding.weight
        assert isinstance(table, Tensor)
        return table[0].expand(*shares.shape[:-1], -1)
