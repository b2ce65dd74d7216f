# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The latents of a block on the stack, by their prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from pyro_textvae.compression.arithmetic import libraries
from pyro_textvae.compression.coded_programs import Gaussian, GaussianMixture
from pyro_textvae.compression.normal_buckets import NormalBuckets

_SMALLEST = 1e-300
"""A mass of 0 in one dimension or another of every component would leave none to choose."""


class CodedGaussian:
    """Each interval of each dimension is equally likely, and costs the number of its bits.

    :param prior: ``(N, D)``.
    """

    def __init__(self, prior: Gaussian, bits: int) -> None:
        constriction, _ = libraries()
        self.buckets = NormalBuckets(prior.loc, prior.scale, bits)
        self._size = prior.loc.shape[-1]
        self._uniform = constriction.stream.model.Uniform(2**bits)

    def push(self, stack: Any, indices: np.ndarray) -> None:
        """Push the intervals of some sentences, all dimensions of one after the other."""
        stack.encode_reverse(indices, self._uniform)

    def pop(self, stack: Any, size: int) -> np.ndarray:
        """Pop those of so many sentences."""
        return np.asarray(stack.decode(self._uniform, size * self._size))

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of the sentences of a block ``(N, D)``, or of the first of them."""
        here = slice(len(z))
        prior = Normal(self.buckets.loc[here], self.buckets.scale[here])
        return prior.log_prob(z).sum(-1)


class CodedMixture:
    r"""The component is a second latent: drawn with bits that are there, and these are got back.

    .. math::
        -\log p(z \mid c) - \log \pi_c + \log p(c \mid z) = -\log \sum_c \pi_c \, p(z \mid c)

    The intervals are of equal mass under the Gaussian with the mixture's moments.

    Source: Townsend, Bird and Barber (2019), https://arxiv.org/abs/1901.04866.

    :param rows: sentences of a block at most.
    """

    def __init__(self, prior: GaussianMixture, bits: int, rows: int) -> None:
        constriction, _ = libraries()
        model = constriction.stream.model
        self.prior = prior
        weights = prior.log_weights.exp()
        loc = weights @ prior.loc
        scale = (weights @ (prior.scale**2 + prior.loc**2) - loc**2).sqrt()
        self._size = len(loc)
        self.buckets = NormalBuckets(
            loc.expand(rows, self._size), scale.expand(rows, self._size), bits
        )
        grid = NormalBuckets(loc, scale, bits)
        self._masses = grid.probabilities(prior.loc, prior.scale)
        """Of each component, dimension and interval."""
        self._component = model.Categorical(weights.numpy(), perfect=False)
        self._one_of = model.Categorical(perfect=False)

    def push(self, stack: Any, indices: np.ndarray) -> None:
        """Push the intervals of some sentences, all dimensions of one after the other."""
        components = stack.decode(self._one_of, self._given(indices))
        stack.encode_reverse(indices, self._one_of, self._table(components))
        stack.encode_reverse(components, self._component)

    def pop(self, stack: Any, size: int) -> np.ndarray:
        """Pop those of so many sentences."""
        components = stack.decode(self._component, size)
        indices = np.asarray(stack.decode(self._one_of, self._table(components)))
        stack.encode_reverse(components, self._one_of, self._given(indices))
        return indices

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of sentences ``(N, D)``."""
        each = Normal(self.prior.loc, self.prior.scale).log_prob(z.unsqueeze(1)).sum(-1)
        return (each + self.prior.log_weights).logsumexp(1)

    def _table(self, components: np.ndarray) -> np.ndarray:
        """The probabilities of each interval given the components, ``(N * D, 2 ** bits)``."""
        return self._masses[torch.from_numpy(components.astype(np.int64))].flatten(0, 1).numpy()

    def _given(self, indices: np.ndarray) -> np.ndarray:
        """p(c | z) of each sentence, ``(N, C)``."""
        rows = torch.from_numpy(indices.astype(np.int64)).view(-1, 1, self._size, 1)
        masses = self._masses.expand(len(rows), -1, -1, -1).gather(
            3, rows.expand(-1, len(self._masses), -1, -1)
        )
        joint = masses.squeeze(3).clamp_min(_SMALLEST).log().sum(-1) + self.prior.log_weights
        return joint.softmax(1).numpy()


def coded_prior(
    prior: Gaussian | GaussianMixture, bits: int, rows: int
) -> CodedGaussian | CodedMixture:
    """What codes latents by a prior.

    :param rows: sentences of a block at most.
    """
    if isinstance(prior, Gaussian):
        return CodedGaussian(prior, bits)
    return CodedMixture(prior, bits, rows)
