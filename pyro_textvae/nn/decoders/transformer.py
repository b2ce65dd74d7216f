# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A Transformer decoder that finds z in memory slots of every layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import Context
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.injection import ATTENTION, INITIAL_STATE, read_injection
from pyro_textvae.nn.positions import sinusoidal_positions
from pyro_textvae.nn.source_layer import SourceLayer
from pyro_textvae.nn.transformer_block import KeysAndValues, TransformerBlock
from pyro_textvae.nn.word_and_latent_input import WordAndLatentInput

State = tuple[KeysAndValues, ...]
"""The keys and values of each layer: first those made of z, then those of the words so far."""


class TransformerDecoder(Decoder):
    """p(x | z) by causal self-attention over the words before and what is made of z.

    Layer norms before each part and one at the end, sinusoidal positions. With ``attention`` z is
    in memory slots, each with a key and a value linear in z, that every layer sees beside the
    words; with ``initial_state`` it is a prefix: a vector linear in z before ``<bos>``, which goes
    through the layers by itself; with ``concatenation`` it is concatenated to every word embedding,
    with ``addition`` a linear map of it added to them. With ``latent_dim=0`` it is called with
    nothing: a language model.

    The cache of generation holds the keys and values of every place so far, so that a step costs
    one place and not the sentence.

    >>> decoder = TransformerDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> sentences = decoder(torch.zeros(2, 3))
    >>> sentences.sample().shape
    torch.Size([2, 6])
    >>> sentences.log_prob(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2])

    Source: Vaswani et al. (2017), Attention Is All You Need, https://arxiv.org/abs/1706.03762; Li
    et al. (2020), Optimus, https://arxiv.org/abs/2004.04092, whose "memory" the slots are.

    :param num_heads: heads of attention, which share ``hidden_dim``.
    :param injection: how z comes in, one way or several, see :mod:`pyro_textvae.nn.injection`.
    :param num_slots: memory slots in a layer, with ``attention``.
    :param tied_embeddings: see :class:`~pyro_textvae.nn.decoder.Decoder`; the dropouts also.
    :param layer_dropout: rate on what each attention and each feed-forward network adds.
    :raises ValueError: for a ``hidden_dim`` that ``num_heads`` does not divide, and for a size, a
        rate or a way out of range.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        latent_dim: int,
        max_length: int,
        *,
        num_layers: int = 2,
        num_heads: int = 4,
        injection: str | Sequence[str] = (ATTENTION,),
        num_slots: int = 4,
        tied_embeddings: bool = False,
        layer_dropout: float = 0.1,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        word_dropout: float = 0.0,
        memory_dim: int = 0,
        copying: bool = False,
    ) -> None:
        check_sizes(num_layers=num_layers, num_slots=num_slots)
        ways = read_injection(injection, latent_dim)
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
        self.injection = ways
        self.layer_dropout = layer_dropout
        self.num_heads = num_heads
        self.num_slots = num_slots
        self.input = WordAndLatentInput(embedding_dim, latent_dim, hidden_dim, ways)
        self.blocks = nn.ModuleList(
            TransformerBlock(hidden_dim, num_heads, layer_dropout) for _ in range(num_layers)
        )
        self.source_layers = nn.ModuleList(
            SourceLayer(hidden_dim, memory_dim, layer_dropout)
            for _ in range(num_layers if memory_dim else 0)
        )
        self.final_norm = nn.LayerNorm(hidden_dim)
        # No position is added to the prefix: the bias of its own map would take it up.
        self.prefix = nn.Linear(latent_dim, hidden_dim) if INITIAL_STATE in ways else None
        self.slots = (
            nn.ModuleList(
                nn.Linear(latent_dim, 2 * num_slots * hidden_dim) for _ in range(num_layers)
            )
            if ATTENTION in ways
            else None
        )
        self.num_latent_places = (num_slots if self.slots is not None else 0) + (
            self.prefix is not None
        )

    def unroll(self, inputs: Tensor, context: Context) -> Tensor:
        """The state before each word of known sentences; see :class:`Decoder`."""
        length, of_latent, mask = inputs.shape[-2], self._latent_places(context.z), None
        if self.num_latent_places:
            places = self.num_latent_places
            mask = torch.ones(length, places + length, dtype=torch.bool, device=inputs.device)
            mask = mask.tril(places)
        hidden = self._with_positions(inputs, context.z, first=0)
        memory = None if context.memory is None else context.memory.distinct()
        for layer, (block, past) in enumerate(zip(self.blocks, of_latent, strict=True)):
            hidden, _ = block(hidden, past, mask=mask, is_causal=mask is None)
            if memory is not None:
                hidden = self.source_layers[layer](hidden, memory)
        return self.final_norm(hidden)

    def initial_state(self, context: Context) -> State:
        """The cache before the first word: what is made of z in every layer."""
        (batch_size,) = context.batch_shape
        width = self.hidden_dim // self.num_heads
        empty = self.input.words.weight.new_empty(batch_size, self.num_heads, 0, width)
        return tuple(
            (empty, empty) if past is None else past for past in self._latent_places(context.z)
        )

    def advance(self, inputs: Tensor, state: State, context: Context) -> tuple[Tensor, State]:
        """The hidden state after one more embedded word, and the longer cache."""
        position = state[0][0].shape[-2] - self.num_latent_places
        hidden = self._with_positions(inputs.unsqueeze(-2), context.z, first=position)
        cache = []
        for layer, (block, past) in enumerate(zip(self.blocks, state, strict=True)):
            hidden, present = block(hidden, past)
            cache.append(present)
            if context.memory is not None:
                hidden = self.source_layers[layer](hidden, context.memory)
        return self.final_norm(hidden).squeeze(-2), tuple(cache)

    def _with_positions(self, inputs: Tensor, z: Tensor | None, *, first: int) -> Tensor:
        """The first layer's input for words whose places begin at ``first``."""
        # As long as positions are, or these would drown the words.
        hidden = self.input(inputs * inputs.shape[-1] ** 0.5, z)
        weight = self.input.words.weight
        return hidden + sinusoidal_positions(
            first, inputs.shape[-2], self.hidden_dim, dtype=weight.dtype, device=weight.device
        )

    def _latent_places(self, z: Tensor | None) -> list[KeysAndValues | None]:
        """What each layer sees of z, ``(*S, heads, num_latent_places, width)``; or nothing."""
        if z is None or not self.num_latent_places:
            return [None] * len(self.blocks)
        of_latent: list[KeysAndValues | None] = []
        prefix = None if self.prefix is None else self.prefix(z).unsqueeze(-2)
        for layer, block in enumerate(self.blocks):
            parts = []
            if self.slots is not None:
                slots = self.slots[layer](z)
                parts.append(
                    slots.unflatten(-1, (2, self.num_heads, self.num_slots, -1)).unbind(-4)
                )
            if prefix is not None:
                prefix, seen = block(prefix)
                parts.append(seen)
            keys, values = (torch.cat(part, -2) for part in zip(*parts, strict=True))
            of_latent.append((keys, values))
        return of_latent
