# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Blocks of sentences on a stack of bits, with the bits of their latents back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from pyro_textvae.compression.arithmetic import libraries
from pyro_textvae.compression.coded_prior import CodedGaussian, CodedMixture, coded_prior
from pyro_textvae.compression.coded_programs import CodedPrograms, Gaussian
from pyro_textvae.data import pad
from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED, PAD


@dataclass(frozen=True)
class BlockBound:
    """What a block should cost: minus the bound of its sentences by the draws that were coded.

    minus_elbo
        log q(z | x) - log p(z) - log p(x | z), summed over the sentences, nats.
    bits_wanted
        Bits of a dimension with which its narrowest posterior is not blurred.
    """

    minus_elbo: float
    bits_wanted: int


class BlockCoder:
    """Pushes blocks of sentences onto a stack, and pops them from it, last in first out.

    For each sentence, z is popped by q(z | x), the words are pushed by p(x | z), and z by p(z): the
    stack grows by the logarithm of q(z | x) / (p(x | z) p(z)), which is minus the bound.

    A block has always ``block_size`` rows, those that are missing filled up with empty sentences:
    the same network gives other floats for batches of another shape, and a decoder with other
    floats reads other words without noticing.

    Source: Hinton and van Camp (1993), Keeping Neural Networks Simple by Minimizing the Description
    Length of the Weights, https://doi.org/10.1145/168304.168306; Townsend, Bird and Barber (2019),
    https://arxiv.org/abs/1901.04866, for the stack.

    :param bits: of a dimension of z.
    :param block_size: sentences of a block at most.
    """

    def __init__(self, programs: CodedPrograms, bits: int, block_size: int) -> None:
        constriction, _ = libraries()
        model = constriction.stream.model
        self.programs = programs
        self.bits = bits
        self.block_size = block_size
        self._one_of = model.Categorical(perfect=False)
        self._prior: CodedGaussian | CodedMixture | None = None
        if programs.latent_dim:
            self._prior = coded_prior(programs.prior(block_size), bits, block_size)

    @property
    def bits_of_latent(self) -> int:
        """Bits that the latent of a sentence pops at most."""
        return self.bits * self.programs.latent_dim

    def push(self, stack: Any, rows: Sequence[Sequence[int]]) -> BlockBound:
        """Push sentences, each with its ``<eos>``; the stack must hold the bits of their latents.

        :param stack: an ``AnsCoder`` of constriction.
        """
        tokens = self._block(rows)
        posterior, indices, z = self.programs.posterior(tokens), None, None
        if posterior is not None:
            table = self._posterior_table(posterior, len(rows))
            indices = stack.decode(self._one_of, table)
            z = self._values(indices, len(rows))
        text = self.programs.text(z, self.block_size)
        log_prob, steps = 0.0, []
        columns = tokens.numpy()
        alive = np.arange(len(rows))
        # After its end a sentence goes on with <eos> here as in pop.
        for place, table in enumerate(self._tables(text, tokens.where(tokens != PAD, EOS))):
            words = columns[alive, place] - FIRST_EMITTED
            log_prob += float(np.log(table[alive, words]).sum())
            steps.append((words.astype(np.int32), table[alive]))
            alive = alive[columns[alive, place] != EOS]
            if not len(alive):
                break
        for words, table in reversed(steps):
            stack.encode_reverse(words, self._one_of, table)
        if posterior is None or z is None or indices is None or self._prior is None:
            return BlockBound(-log_prob, 1)
        self._prior.push(stack, indices)
        here = slice(len(rows))
        log_ratio = Normal(posterior.loc[here], posterior.scale[here]).log_prob(z[here]).sum(-1)
        log_ratio -= self._prior.log_prob(z[here])
        wanted = self._prior.buckets.bits_for(posterior.scale[here])
        return BlockBound(float(log_ratio.sum()) - log_prob, wanted)

    def pop(self, stack: Any, size: int) -> list[list[int]]:
        """Pop the sentences of a block that was pushed with so many.

        :raises ValueError: for a sentence without an end, which no block that was pushed has.
        """
        indices, z = None, None
        if self._prior is not None:
            indices = self._prior.pop(stack, size)
            z = self._values(indices, size)
        text = self.programs.text(z, self.block_size)
        tokens = torch.full((self.block_size, self.programs.max_length), EOS)
        rows: list[list[int]] = [[] for _ in range(size)]
        alive = np.arange(size)
        for place, table in enumerate(self._tables(text, tokens)):
            words = stack.decode(self._one_of, table[alive]) + FIRST_EMITTED
            tokens[alive, place] = torch.from_numpy(words.astype(np.int64))
            for row, word in zip(alive.tolist(), words.tolist(), strict=True):
                rows[row].append(word)
            alive = alive[words != EOS]
            if not len(alive):
                break
        if len(alive):
            raise ValueError("a sentence has no end")
        if indices is not None:
            posterior = self.programs.posterior(self._block(rows))
            assert posterior is not None
            table = self._posterior_table(posterior, size)
            stack.encode_reverse(indices, self._one_of, table)
        return rows

    def _block(self, rows: Sequence[Sequence[int]]) -> Tensor:
        return pad([*rows, *[[EOS]] * (self.block_size - len(rows))])

    def _posterior_table(self, posterior: Gaussian, size: int) -> np.ndarray:
        assert self._prior is not None
        masses = self._prior.buckets.probabilities(posterior.loc, posterior.scale)[:size]
        return masses.flatten(0, 1).numpy()

    def _values(self, indices: np.ndarray, size: int) -> Tensor:
        """The latents of a block, ``(block_size, D)``; of empty sentences, at the prior's mode."""
        assert self._prior is not None
        every = torch.full((self.block_size, self.programs.latent_dim), 2**self.bits // 2)
        every[:size] = torch.from_numpy(indices.astype(np.int64)).view(size, -1)
        return self._prior.buckets.values(every)

    @staticmethod
    def _tables(text: AutoregressiveCategorical, tokens: Tensor) -> Iterator[np.ndarray]:
        """The probabilities of each next word, ``(block_size, V)``, after those in ``tokens``.

        A reader may write the words of a place into ``tokens`` before it asks for the next place.
        """
        context = text.context.flatten()
        state = text.network.initial_state(context)
        previous = torch.full((len(tokens),), BOS)
        for place in range(text.max_length):
            scores, state = text.network.step(previous, state, context)
            yield scores.softmax(-1).numpy()
            previous = tokens[:, place]
