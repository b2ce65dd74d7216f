# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What LSTM and GRU decoders have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.distributions import Context
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.injection import (
    ADDITION,
    ATTENTION,
    CONCATENATION,
    INITIAL_STATE,
    read_injection,
)
from pyro_textvae.nn.latent_attention import LatentAttention
from pyro_textvae.nn.recurrence import run_recurrence

State = tuple[Tensor, ...]
"""What goes from word to word: a hidden state, and a cell where there is one."""


class RecurrentDecoder(Decoder):
    """A decoder whose state goes from word to word.

    z comes in as ``initial_state`` (a map of z), by ``concatenation`` to every word's embedding, by
    ``addition`` of a linear map of z to it, or by ``attention`` of the states to memory slots.

    Several draws of z for one sentence share the words' part of the first layer's gates. That
    needs a loop in Python, which is faster than PyTorch's own only where there is something to
    share.
    """

    num_states: int
    """Tensors of a layer's state."""

    def __init__(
        self,
        *,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        latent_dim: int,
        max_length: int,
        num_layers: int,
        injection: str | Sequence[str],
        num_slots: int,
        tied_embeddings: bool,
        embedding_dropout: float,
        output_dropout: float,
        word_dropout: float,
        memory_dim: int = 0,
        copying: bool = False,
    ) -> None:
        check_sizes(num_layers=num_layers)
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
        self.num_layers = num_layers
        self.hidden_dim = hidden_dim
        self.num_slots = num_slots
        self.injection = read_injection(injection, latent_dim)
        self.input_dim = embedding_dim + latent_dim * (CONCATENATION in self.injection)
        self.added = (
            nn.Linear(latent_dim, embedding_dim, bias=False) if ADDITION in self.injection else None
        )
        self.attention = (
            LatentAttention(hidden_dim, latent_dim, num_slots)
            if ATTENTION in self.injection
            else None
        )

    @property
    @abstractmethod
    def network(self) -> nn.RNNBase:
        """PyTorch's network of all layers, batch first."""

    @abstractmethod
    def first_state(self, z: Tensor) -> State:
        """The states that z sets, each ``(*S, num_layers, hidden_dim)``."""

    @abstractmethod
    def loop(self, layer: int, words: Tensor, fixed: Tensor, state: State) -> Tensor:
        """The hidden states of one layer, ``(*rows, T, hidden_dim)``, word by word.

        :param words: the words' part of the gates, ``(*B, T, gates)``.
        :param fixed: what is the same at every word, input biases among it, ``(*S, gates)``.
        :param state: before the first word, each ``(*rows, hidden_dim)``.
        """

    def unroll(self, inputs: Tensor, context: Context) -> Tensor:
        """See :class:`Decoder`."""
        z = context.z
        # Pyro's tensors that record where they come from have a tuple for a shape.
        rows = sentences = torch.Size(inputs.shape[:-2])
        if z is not None and self.injection != {ATTENTION}:
            rows = torch.broadcast_shapes(sentences, z.shape[:-1])
        if z is not None and rows.numel() > sentences.numel():
            hidden = self._unroll_sharing_words(inputs, z, rows)
        else:
            hidden = self._unroll_at_once(inputs, z, rows)
        return hidden if self.attention is None else self.attention(hidden, z)

    def initial_state(self, context: Context) -> State:
        """Each tensor of the state, ``(N, num_layers, hidden_dim)``."""
        (batch_size,) = context.batch_shape
        return self._initial_state(context.z, batch_size)

    def advance(self, inputs: Tensor, state: State, context: Context) -> tuple[Tensor, State]:
        """See :class:`Decoder`."""
        hidden, state = self._run(self._with_latent(inputs, context.z).unsqueeze(1), state)
        if self.attention is not None:
            hidden = self.attention(hidden, context.z)
        return hidden.squeeze(1), state

    def _initial_state(self, z: Tensor | None, batch_size: int) -> State:
        if z is not None and INITIAL_STATE in self.injection:
            return self.first_state(z)
        shape = (batch_size, self.num_layers, self.hidden_dim)
        return (self.token_scores.bias.new_zeros(shape),) * self.num_states

    def _with_latent(self, inputs: Tensor, z: Tensor | None) -> Tensor:
        """The first layer's inputs, from words and z of the same leading dimensions."""
        if z is None:
            return inputs
        if self.added is not None:
            inputs = inputs + self.added(z)
        if CONCATENATION in self.injection:
            inputs = torch.cat([inputs, z], -1)
        return inputs

    def _unroll_at_once(self, inputs: Tensor, z: Tensor | None, rows: torch.Size) -> Tensor:
        length = inputs.shape[-2]
        wide = (rows.numel(), length, inputs.shape[-1])
        inputs = inputs.expand(rows + inputs.shape[-2:]).reshape(wide)
        if z is not None and self.injection != {ATTENTION}:
            z = z.expand(rows + z.shape[-1:])
            z = z.reshape(rows.numel(), z.shape[-1])
            state = self._initial_state(z, len(z))
            every_word = z.unsqueeze(1).expand(-1, length, -1)
            hidden, _ = self._run(self._with_latent(inputs, every_word), state)
        else:
            hidden, _ = self._run(inputs, self._initial_state(None, len(inputs)))
        return hidden.reshape(rows + hidden.shape[-2:])

    def _run(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        layers_first = [value.transpose(0, 1).contiguous() for value in state]
        given = layers_first[0] if self.num_states == 1 else tuple(layers_first)
        hidden, after = run_recurrence(self.network, inputs, given)
        after = (after,) if self.num_states == 1 else after
        return hidden, tuple(value.transpose(0, 1) for value in after)

    def _unroll_sharing_words(self, inputs: Tensor, z: Tensor, rows: torch.Size) -> Tensor:
        flat = z.expand(rows + z.shape[-1:]).reshape(rows.numel(), self.latent_dim)
        state = [value.unflatten(0, rows) for value in self._initial_state(flat, len(flat))]
        hidden = inputs
        for layer in range(self.num_layers):
            weight = getattr(self.network, f"weight_ih_l{layer}")
            fixed = getattr(self.network, f"bias_ih_l{layer}")
            if layer == 0:
                weight, of_latent = weight.tensor_split([inputs.shape[-1]], 1)
                if CONCATENATION in self.injection:
                    fixed = fixed + F.linear(z, of_latent)
                if self.added is not None:
                    fixed = fixed + F.linear(self.added(z), weight)
            words = F.linear(hidden, weight)
            hidden = self.loop(layer, words, fixed, tuple(value[..., layer, :] for value in state))
        return hidden
