# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A pre-trained causal language model as p(x | z)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.data import Tokenizer
from pyro_textvae.data.hugging_face import ModelFolder, Vocabulary
from pyro_textvae.distributions import Context, Memory, sentence_mask
from pyro_textvae.distributions.context import SharedMemory
from pyro_textvae.errors import UserError
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.hugging_face.causal import CausalNetwork, Past, as_past
from pyro_textvae.nn.hugging_face.pretrained import Adapters
from pyro_textvae.nn.hugging_face.words import PretrainedEmbedding, PretrainedTokenScores
from pyro_textvae.nn.injection import (
    ADDITION,
    ATTENTION,
    CONCATENATION,
    INITIAL_STATE,
    read_injection,
)
from pyro_textvae.special_tokens import BOS


class HuggingFaceDecoder(Decoder):
    """p(x | z) by any causal language model that ``transformers`` has: GPT-2, Llama, ...

    With ``attention`` z is in memory slots, each with a key and a value linear in z, that every
    layer sees beside the words; with ``initial_state`` it is a prefix: vectors linear in z before
    ``<bos>``; with ``addition`` a linear map of it is added to every word's embedding. With
    ``latent_dim=0`` it is called with nothing: the language model itself.

    The text is in the model's own tokens (``--tokenizer hf:PATH``), whose embeddings and scores are
    used as they are. Probabilities sum to one over what a text can contain: the model's further
    special tokens have none.

    With ``prompt=True`` it is conditioned on a source: called with z and ``decoder.read(source)``,
    it reads the source first, once for all draws of z.

    Source: Li et al. (2020), Optimus, https://arxiv.org/abs/2004.04092, for the slots ("memory")
    and the addition ("embedding"); Tu et al. (2022), AdaVAE, https://arxiv.org/abs/2205.05862, for
    adapters.

    :param path: a folder with config.json, safetensors and tokenizer.json.
    :param tokenizer: of the text, which must be that folder's.
    :param injection: how z comes in, one way or several of attention, initial_state and addition.
    :param num_slots: memory slots in a layer, and vectors of the prefix.
    :param fine_tuning: ``full`` trains all of the model, ``lora`` adapters alone, ``none`` nothing.
    :param lora_rank: rank of the adapters.
    :param lora_alpha: what they are multiplied by, times the rank.
    :param lora_dropout: rate on their inputs.
    :param lora_targets: ends of the names of the layers that get one; by default what ``peft`` has
        for the architecture.
    :param word_dropout: rate at which an input word is replaced by ``<unk>``, or by the end of a
        text where the model has no such token.
    :param prompt: whether it reads a source.
    :raises UserError: for a folder that holds no such model, another tokenizer, and adapters that
        match no layer.
    """

    def __init__(
        self,
        path: str,
        tokenizer: Tokenizer,
        latent_dim: int,
        max_length: int,
        *,
        injection: str | Sequence[str] = (ATTENTION,),
        num_slots: int = 1,
        fine_tuning: str = "full",
        lora_rank: int = 8,
        lora_alpha: int = 16,
        lora_dropout: float = 0.0,
        lora_targets: Sequence[str] | None = None,
        word_dropout: float = 0.0,
        prompt: bool = False,
    ) -> None:
        check_sizes(num_slots=num_slots)
        ways = read_injection(injection, latent_dim)
        if CONCATENATION in ways:
            raise UserError(
                f"injection {CONCATENATION!r} would change the width of pre-trained embeddings: "
                f"give {ATTENTION}, {INITIAL_STATE} or {ADDITION}"
            )
        folder = ModelFolder(path)
        vocabulary = Vocabulary(folder)
        if tokenizer.content_digest != vocabulary.content_digest:
            raise UserError(
                f"{folder} reads tokens of its own, and the text is in those of {tokenizer.kind}: "
                f"give --tokenizer {folder}"
            )
        their_ids = vocabulary.their_ids
        adapters = Adapters(lora_rank, lora_alpha, lora_dropout, lora_targets)
        network = CausalNetwork(folder, fine_tuning, adapters)
        super().__init__(
            vocab_size=len(tokenizer),
            embedding_dim=network.width,
            state_dim=network.state_dim,
            latent_dim=latent_dim,
            max_length=max_length,
            word_dropout=word_dropout,
            embedding=PretrainedEmbedding(network.network, their_ids),
            token_scores=PretrainedTokenScores(network.network, their_ids),
        )
        self.path = path
        self.injection = ways
        self.num_slots = num_slots
        self.fine_tuning = fine_tuning
        self.lora_rank, self.lora_alpha = lora_rank, lora_alpha
        self.lora_dropout, self.lora_targets = lora_dropout, lora_targets
        self.prompt = self.takes_memory = prompt
        self.network = network
        self.num_prefix = num_slots if INITIAL_STATE in ways else 0
        self._check_length()
        width, slots = network.width, sum(heads * size for heads, size in network.cache_shapes)
        self.slots = nn.Linear(latent_dim, num_slots * slots) if ATTENTION in ways else None
        self.prefix = nn.Linear(latent_dim, num_slots * width) if self.num_prefix else None
        self.addition = nn.Linear(latent_dim, width) if ADDITION in ways else None
        self._scale_to_embeddings()

    def read(self, source: Tensor) -> Memory:
        """The memory of right-padded ``source`` ``(N, S)``, for a decoder with ``prompt=True``."""
        return Memory(self.embedding(source), sentence_mask(source), source)

    def unroll(self, inputs: Tensor, context: Context) -> Tensor:
        """The state before each word of known sentences; see :class:`Decoder`."""
        rows = torch.broadcast_shapes(inputs.shape[:-2], context.batch_shape)
        past, seen, first = self._before_words(context, rows)
        words = _flat(self._words(inputs, context.z), rows)
        places = words.shape[-2]
        positions = first + torch.arange(places, device=words.device)
        mask = None if seen is None else _with_ones(seen, places)
        hidden, _ = self.network.run(words, past, positions, mask)
        hidden = hidden[:, self.num_prefix :]
        return hidden.reshape(rows + hidden.shape[-2:])

    def initial_state(self, context: Context) -> Any:
        """The cache before the first word: the source, what is made of z, and the prefix."""
        (size,) = rows = context.batch_shape
        past, seen, first = self._before_words(context, rows)
        if past is None:
            past = as_past(
                [
                    self._of_no_place(size, heads, width)
                    for heads, width in self.network.cache_shapes
                ]
            )
        position = first.expand(size, 1)
        if self.prefix is not None and context.z is not None:
            vectors = self.prefix(context.z).unflatten(-1, (self.num_slots, -1))
            positions = position + torch.arange(self.num_prefix, device=position.device)
            seen = None if seen is None else _with_ones(seen, self.num_prefix)
            _, past = self.network.run(vectors, past, positions, seen, keep=True)
            position = position + self.num_prefix
        return past, position, seen

    def _of_no_place(self, size: int, heads: int, width: int) -> Tensor:
        """Keys or values of no place."""
        weight = next(self.network.parameters())
        return weight.new_empty(size, heads, 0, width)

    def advance(self, inputs: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """The hidden state after one more embedded word, and the longer cache."""
        past, position, seen = state
        words = self._added(inputs.unsqueeze(-2), context.z)
        seen = None if seen is None else _with_ones(seen, 1)
        hidden, past = self.network.run(words, past, position, seen, keep=True)
        return hidden.squeeze(-2), (past, position + 1, seen)

    def _added(self, inputs: Tensor, z: Tensor | None) -> Tensor:
        if self.addition is None or z is None:
            return inputs
        return inputs + self.addition(z).unsqueeze(-2)

    def _words(self, inputs: Tensor, z: Tensor | None) -> Tensor:
        """The vectors of all places, the prefix first."""
        words = self._added(inputs, z)
        if self.prefix is None or z is None:
            return words
        vectors = self.prefix(z).unflatten(-1, (self.num_slots, -1))
        rows = torch.broadcast_shapes(words.shape[:-2], vectors.shape[:-2])
        return torch.cat([part.expand(rows + part.shape[-2:]) for part in (vectors, words)], -2)

    def _before_words(
        self, context: Context, rows: torch.Size
    ) -> tuple[Past | None, Tensor | None, Tensor]:
        """Keys and values of the source and of the slots, what is seen of them, and the position.

        :param rows: the batch shape of the words.
        :returns: those of ``rows.numel()`` rows, or None; a mask of their places, or None for all;
            and the position of the first vector after them, ``(rows.numel() or 1, 1)``.
        """
        weight = next(self.network.parameters())
        first = torch.zeros(1, 1, dtype=torch.long, device=weight.device)
        parts: list[list[Tensor]] = [[] for _ in self.network.cache_shapes]
        seen = None
        if context.memory is not None:
            of_source, seen, first = self._of_source(context.memory.distinct(), rows)
            for part, of_prompt in zip(parts, of_source, strict=True):
                part.append(of_prompt)
        if self.slots is not None and context.z is not None:
            for part, of_slots in zip(parts, self._of_latent(context.z), strict=True):
                part.append(_flat(of_slots, rows, 3))
            seen = None if seen is None else _with_ones(seen, self.num_slots)
        if not parts[0]:
            return None, None, first
        return as_past([torch.cat(part, -2) for part in parts]), seen, first

    def _of_source(self, memory: Memory, rows: torch.Size) -> tuple[list[Tensor], Tensor, Tensor]:
        """Keys and values of ``<bos>`` and the source, computed once for all rows that share it."""
        places = torch.arange(memory.batch_shape.numel(), device=memory.ids.device)
        places = places.reshape(memory.batch_shape)
        if isinstance(memory, SharedMemory):
            places, memory = memory.rows, memory.sources
        size = memory.batch_shape.numel()
        states = memory.states.reshape(size, *memory.states.shape[-2:])
        start = self.embedding(memory.ids.new_full((size, 1), BOS))
        mask = _with_ones(memory.mask.reshape(size, -1), 1, in_front=True)
        inputs = torch.cat([start, states], 1)
        positions = torch.arange(inputs.shape[1], device=mask.device).unsqueeze(0)
        _, past = self.network.run(inputs, None, positions, mask, keep=True)
        kept = [_flat(each[places], rows, 3) for pair in past for each in pair]
        seen = _flat(mask[places], rows, 1)
        return kept, seen, seen.sum(-1, keepdim=True)

    def _of_latent(self, z: Tensor) -> list[Tensor]:
        """Keys and values of the slots, ``(*S, heads, num_slots, width)``, layer by layer."""
        assert self.slots is not None
        sizes = [heads * width for heads, width in self.network.cache_shapes]
        slots = self.slots(z).unflatten(-1, (self.num_slots, -1)).split(sizes, -1)
        return [
            part.unflatten(-1, shape).transpose(-3, -2)
            for part, shape in zip(slots, self.network.cache_shapes, strict=True)
        ]

    def _check_length(self) -> None:
        needed = self.max_length + self.num_prefix
        needed += self.max_length + 1 if self.prompt else 0
        most = self.network.most_places(self.num_slots if ATTENTION in self.injection else 0)
        if most is not None and needed > most:
            raise UserError(
                f"a sentence of max_length={self.max_length} takes {needed} places, and "
                f"hf:{self.path} has {most}: give a smaller --max-length"
            )

    def _scale_to_embeddings(self) -> None:
        """Let what is made of z be as long as embeddings are, or it would drown the words."""
        scale = self.network.embed(torch.arange(8)).std()
        with torch.no_grad():
            for layer in (self.prefix, self.addition):
                if layer is not None:
                    layer.weight.mul_(scale)
                    layer.bias.mul_(scale)


def _flat(value: Tensor, rows: torch.Size, event_dim: int = 2) -> Tensor:
    """``value`` ``(*B, *event)`` for all ``rows``, with one dimension of them."""
    event = value.shape[value.dim() - event_dim :]
    return value.expand(rows + event).reshape(rows.numel(), *event)


def _with_ones(mask: Tensor, places: int, *, in_front: bool = False) -> Tensor:
    """``mask`` ``(N, P)`` with further places that are seen."""
    ones = mask.new_ones(len(mask), places)
    return torch.cat([ones, mask] if in_front else [mask, ones], -1)
