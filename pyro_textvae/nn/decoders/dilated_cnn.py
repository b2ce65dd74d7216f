# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A dilated causal CNN decoder, whose depth says how many words before a prediction sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.distributions import Context
from pyro_textvae.nn.causal_convolution import CausalConvolution
from pyro_textvae.nn.checks import check_rates, check_sizes
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.injection import ATTENTION, INITIAL_STATE, read_injection
from pyro_textvae.nn.latent_attention import LatentAttention
from pyro_textvae.nn.source_layer import SourceLayer
from pyro_textvae.nn.word_and_latent_input import WordAndLatentInput

_DILATIONS = (1, 2, 4, 8, 16)
"""Of the layers in turn, and again from the first."""


class DilatedCNNDecoder(Decoder):
    r"""p(x | z) by residual blocks of dilated causal convolutions.

    A block is a linear map to half the width, a convolution there and a linear map back, added to
    its input. The dilations are 1, 2, 4, 8, 16, and again; ``num_layers`` of 3, 5, 10 and 15 are
    the paper's small, medium, large and very large decoders. A prediction sees
    :math:`1 + (\text{kernel\_size} - 1) \sum_l \text{dilation}_l` words before it, ``<bos>``
    included (15, 63, 125 and 187 of them), and nothing farther back: ``receptive_field``.

    The paper writes no norm, and ReLU. Here every block begins with a layer norm, as in the block
    of Kalchbrenner et al. (2016) that the paper follows, for it trains markedly faster; and GELU
    stands for ReLU, a unit of which can be off for every word and would never learn.

    >>> import torch
    >>> decoder = DilatedCNNDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6, num_layers=3
    ... )
    >>> sentences = decoder(torch.zeros(2, 3))
    >>> sentences.sample().shape
    torch.Size([2, 6])
    >>> sentences.log_prob(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2])
    >>> decoder.receptive_field
    15

    Source: Yang et al. (2017), Improved Variational Autoencoders for Text Modeling using Dilated
    Convolutions, https://arxiv.org/abs/1702.08139; Kalchbrenner et al. (2016), Neural Machine
    Translation in Linear Time, https://arxiv.org/abs/1610.10099.

    :param num_layers: the number of blocks.
    :param kernel_size: the number of inputs of a convolution, at least 2.
    :param injection: how z comes in, one way or several. ``"concatenation"``: to every word's
        embedding; ``"addition"``: a linear map of z is added to every word's embedding;
        ``"initial_state"``: what stands before the first word in every convolution, instead of
        zeros, is linear in z, so it reaches the first ``receptive_field - 1`` words and no later
        one; ``"attention"``: the final states attend to memory slots made of z, and all before
        them is computed once for all draws of z.
    :param num_slots: the memory slots of ``"attention"``.
    :param layer_dropout: rate on what a block adds to its input.
    :param others: see :class:`~pyro_textvae.nn.decoder.Decoder`.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        latent_dim: int,
        max_length: int,
        *,
        num_layers: int = 5,
        kernel_size: int = 3,
        injection: str | Sequence[str] = ("concatenation",),
        num_slots: int = 4,
        tied_embeddings: bool = False,
        layer_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        word_dropout: float = 0.0,
        memory_dim: int = 0,
        copying: bool = False,
    ) -> None:
        check_sizes(num_layers=num_layers)
        check_rates(layer_dropout=layer_dropout)
        super().__init__(
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            state_dim=hidden_dim,
            latent_dim=latent_dim,
            max_length=max_length,
            tied_embeddings=tied_embeddings,
            embedding_dropout=embedding_dropout,
            output_dropout=output_dropout,
            word_dropout=word_dropout,
            memory_dim=memory_dim,
            copying=copying,
        )
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.kernel_size = kernel_size
        self.injection = ways = read_injection(injection, latent_dim)
        self.num_slots = num_slots
        self.layer_dropout = layer_dropout
        width = max(1, hidden_dim // 2)
        dilations = [_DILATIONS[layer % len(_DILATIONS)] for layer in range(num_layers)]
        self.receptive_field = 1 + (kernel_size - 1) * sum(dilations)
        self.input_layer = WordAndLatentInput(embedding_dim, latent_dim, hidden_dim, ways)
        self.blocks = nn.ModuleList(
            _ResidualBlock(hidden_dim, width, kernel_size, dilation, layer_dropout)
            for dilation in dilations
        )
        self.source_layers = nn.ModuleList(
            SourceLayer(hidden_dim, memory_dim, layer_dropout)
            for _ in range(num_layers if memory_dim else 0)
        )
        self.output_norm = nn.LayerNorm(hidden_dim)
        self.before_words = (
            nn.Linear(latent_dim, num_layers * width) if INITIAL_STATE in ways else None
        )
        self.attention = (
            LatentAttention(hidden_dim, latent_dim, num_slots) if ATTENTION in ways else None
        )

    def unroll(self, inputs: Tensor, context: Context) -> Tensor:
        """The state before each word of known sentences; see :class:`Decoder`."""
        z = context.z
        hidden = self.input_layer(inputs, z)
        memory = None if context.memory is None else context.memory.distinct()
        for layer, (block, before) in enumerate(
            zip(self._residual_blocks(), self._before(z), strict=True)
        ):
            hidden = block(hidden, before)
            if memory is not None:
                hidden = self.source_layers[layer](hidden, memory)
        hidden = self.output_norm(hidden)
        if z is not None and self.attention is not None:
            hidden = self.attention(hidden, z)
        return hidden

    def initial_state(self, context: Context) -> tuple[Tensor, ...]:
        """The inputs that each layer's next convolution looks back to, from the farthest on.

        A tensor a layer, ``(N, (kernel_size - 1) * dilation, hidden_dim // 2)``.
        """
        (batch_size,) = context.batch_shape
        return tuple(
            block.convolution.window(before, batch_size)
            for block, before in zip(self._residual_blocks(), self._before(context.z), strict=True)
        )

    def advance(
        self, inputs: Tensor, state: tuple[Tensor, ...], context: Context
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The state ``(N, hidden_dim)`` after one more embedded word, ``(N, E)``."""
        z = context.z
        hidden = self.input_layer(inputs.unsqueeze(-2), z).squeeze(-2)
        windows = []
        for layer, (block, window) in enumerate(zip(self._residual_blocks(), state, strict=True)):
            hidden, window = block.advance(hidden, window)
            windows.append(window)
            if context.memory is not None:
                found = self.source_layers[layer](hidden.unsqueeze(-2), context.memory)
                hidden = found.squeeze(-2)
        hidden = self.output_norm(hidden)
        if z is not None and self.attention is not None:
            hidden = self.attention(hidden.unsqueeze(-2), z).squeeze(-2)
        return hidden, tuple(windows)

    def _residual_blocks(self) -> Iterable[_ResidualBlock]:
        return cast("Iterable[_ResidualBlock]", self.blocks)

    def _before(self, z: Tensor | None) -> Sequence[Tensor | None]:
        """What stands before the first word in each layer's convolution; None for zeros."""
        if z is None or self.before_words is None:
            return [None] * len(self.blocks)
        return self.before_words(z).chunk(len(self.blocks), -1)


class _ResidualBlock(nn.Module):
    def __init__(
        self, hidden_dim: int, width: int, kernel_size: int, dilation: int, dropout: float
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_dim)
        self.narrow = nn.Linear(hidden_dim, width)
        self.convolution = CausalConvolution(width, width, kernel_size, dilation)
        self.widen = nn.Linear(width, hidden_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, before: Tensor | None) -> Tensor:
        return hidden + self._added(self.convolution(self._narrowed(hidden), before))

    def advance(self, hidden: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        convolved, window = self.convolution.advance(self._narrowed(hidden), window)
        return hidden + self._added(convolved), window

    def _narrowed(self, hidden: Tensor) -> Tensor:
        return F.gelu(self.narrow(self.norm(hidden)))

    def _added(self, convolved: Tensor) -> Tensor:
        return self.dropout(self.widen(F.gelu(convolved)))
