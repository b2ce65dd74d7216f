# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A vector whose parts are independent and of different kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import Distribution, kl_divergence, register_kl

from pyro_textvae.distributions.shape import Shape


class IndependentBlocks(TorchDistribution):
    r"""Vectors joined of independent blocks, each with a distribution of its own.

    .. math::
        p(z) = \prod_b p_b(z_b), \qquad z = (z_1, \dots, z_B)

    ``batch_shape`` is what those of the blocks broadcast to, ``event_shape`` is ``(D,)``, the sum
    of theirs. Densities are products, in nats, each with respect to the measure of its block. The
    KL of two such is the sum over blocks where they are cut alike and each has a closed form.

    >>> from pyro.distributions import Normal
    >>> from pyro_textvae.distributions import HypersphericalUniform
    >>> normal = Normal(torch.zeros(2), torch.ones(2)).to_event(1)
    >>> IndependentBlocks([HypersphericalUniform(3), normal]).sample((10,)).shape
    torch.Size([10, 5])

    :param blocks: distributions of vectors, at least one.
    :raises ValueError: without blocks, and for one that is no distribution of a vector.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self, blocks: Sequence[Distribution], *, validate_args: bool | None = None
    ) -> None:
        if not blocks:
            raise ValueError("blocks must have at least one distribution, got none")
        for block in blocks:
            if len(block.event_shape) != 1:
                raise ValueError(
                    f"blocks must be distributions of vectors, got {type(block).__name__} with "
                    f"event shape {tuple(block.event_shape)}: add to_event(1)"
                )
        shape = torch.broadcast_shapes(*(block.batch_shape for block in blocks))
        self.blocks = tuple(block.expand(shape) for block in blocks)
        self.sizes = tuple(block.event_shape[0] for block in blocks)
        super().__init__(shape, torch.Size((sum(self.sizes),)), validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the draws of every block have gradients."""
        return all(block.has_rsample for block in self.blocks)

    @property
    def support(self) -> constraints.Constraint:
        """Vectors whose blocks lie in the blocks' supports."""
        return _Blockwise([block.support for block in self.blocks], self.sizes)

    def expand(
        self, batch_shape: Shape, _instance: IndependentBlocks | None = None
    ) -> IndependentBlocks:
        """The same distribution over more rows; stays of this class, so that its KL is found."""
        new = self._get_checked_instance(IndependentBlocks, _instance)
        batch_shape = torch.Size(batch_shape)
        new.blocks = tuple(block.expand(batch_shape) for block in self.blocks)
        new.sizes = self.sizes
        super(IndependentBlocks, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws with the gradients of the blocks, ``(*sample_shape, *batch_shape, D)``."""
        return self._joined(lambda block: block.rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws without gradients, ``(*sample_shape, *batch_shape, D)``."""
        return self._joined(lambda block: block.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, ``broadcast(batch_shape, value.shape[:-1])``."""
        if self._validate_args:
            self._validate_sample(value)
        parts = value.split(self.sizes, -1)
        return sum(block.log_prob(part) for block, part in zip(self.blocks, parts, strict=True))

    def entropy(self) -> Tensor:
        """Sum of the entropies of the blocks, ``batch_shape``.

        :raises NotImplementedError: where a block has none.
        """
        return torch.stack([block.entropy() for block in self.blocks]).sum(0)

    @property
    def mean(self) -> Tensor:
        """The means of the blocks, ``(*batch_shape, D)``."""
        return self._joined(lambda block: block.mean)

    def _joined(self, part: Callable[[Any], Tensor]) -> Tensor:
        return torch.cat([part(block) for block in self.blocks], -1)


class _Blockwise(constraints.Constraint):
    event_dim = 1

    def __init__(self, parts: Sequence[Any], sizes: Sequence[int]) -> None:
        self.parts = list(parts)
        self.sizes = list(sizes)
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        pieces = value.split(self.sizes, -1)
        checked = [part.check(piece) for part, piece in zip(self.parts, pieces, strict=True)]
        return torch.stack(checked).all(0)

    def __repr__(self) -> str:
        names = [repr(getattr(part, "base_constraint", part)) for part in self.parts]
        parts = [f"{n.removesuffix('()')} of {s}" for n, s in zip(names, self.sizes, strict=True)]
        return f"Blocks({', '.join(parts)})"


@register_kl(IndependentBlocks, IndependentBlocks)
def _blockwise_divergence(p: IndependentBlocks, q: IndependentBlocks) -> Tensor:
    if p.sizes != q.sizes:
        raise NotImplementedError(f"no closed form between blocks of {p.sizes} and {q.sizes}")
    pairs = zip(p.blocks, q.blocks, strict=True)
    return torch.stack(torch.broadcast_tensors(*(kl_divergence(*pair) for pair in pairs))).sum(0)
