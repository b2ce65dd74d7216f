# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Log-densities with named dimensions, and sums over the values of discrete sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from torch import Tensor

from pyro_textvae.contract import DATA_PLATE, PARTICLE_PLATE
from pyro_textvae.infer.plates import frames_in_data


@dataclass(frozen=True)
class PlateDim:
    """A dimension that is that of a plate."""

    name: str


Dim = PlateDim | str
"""A plate, or the name of the enumerated site whose values lie along the dimension."""

DATA, PARTICLES = PlateDim(DATA_PLATE), PlateDim(PARTICLE_PLATE)


@dataclass(frozen=True)
class Factor:
    """A tensor of log-densities whose dimensions are plates and values of enumerated sites."""

    tensor: Tensor
    dims: tuple[Dim, ...]

    @staticmethod
    def of(
        name: str, site: Any, value: Tensor, enumerated: Mapping[int, str], mask: Any = None
    ) -> Factor:
        """What a site of a trace says, with a row for each value of the sites that it depends on.

        :param value: of the shape that the site's ``log_prob`` has, or one that broadcasts to it.
        :param enumerated: which site's values lie along which dimension, counted from the right.
        :param mask: where it is false, the factor is 0.
        :raises ValueError: with the site's name, for a site outside the plate ``"data"``, and for a
            dimension that is neither a plate's nor an enumerated site's.
        """
        frames = {frame.dim: plate for plate, frame in frames_in_data(name, site).items()}
        value = scale_and_mask(value, 1.0, mask)
        value = value.expand(torch.broadcast_shapes(value.shape, site["fn"].batch_shape))
        kept: list[int] = []
        dims: list[Dim] = []
        for dim in range(-value.dim(), 0):
            if dim in frames:
                dims.append(PlateDim(frames[dim]))
            elif value.shape[dim] == 1:
                continue
            elif dim in enumerated:
                dims.append(enumerated[dim])
            else:
                raise ValueError(
                    f"sample site {name!r} has {value.shape[dim]} entries along dimension {dim}, "
                    "which is neither a plate's nor an enumerated site's: declare it by "
                    "to_event, or by a plate"
                )
            kept.append(value.dim() + dim)
        return Factor(value.reshape([value.shape[place] for place in kept]), tuple(dims))

    @property
    def plates(self) -> frozenset[PlateDim]:
        """The plates that it has a dimension for."""
        return frozenset(dim for dim in self.dims if isinstance(dim, PlateDim))

    @property
    def variables(self) -> list[str]:
        """The enumerated sites that it depends on."""
        return [dim for dim in self.dims if isinstance(dim, str)]

    def as_dims(self, dims: Sequence[Dim]) -> Tensor:
        """The tensor with these dimensions, of size 1 where it has none."""
        own = [dim for dim in dims if dim in self.dims]
        tensor = self.tensor.permute([self.dims.index(dim) for dim in own])
        shape = iter(tensor.shape)
        return tensor.reshape([next(shape) if dim in self.dims else 1 for dim in dims])

    def scaled(self, by: Tensor | float) -> Factor:
        """Times a number, or one for each sentence, ``(N,)``."""
        if isinstance(by, Tensor) and by.dim():
            return Factor(self.tensor * Factor(by, (DATA,)).as_dims(self.dims), self.dims)
        return Factor(self.tensor * by, self.dims)

    def detached(self) -> Factor:
        """The numbers alone."""
        return Factor(self.tensor.detach(), self.dims)

    def summed(self, over: Iterable[Dim]) -> Factor:
        """The sum over some of its dimensions."""
        places = [self.dims.index(dim) for dim in over if dim in self.dims]
        left = tuple(dim for place, dim in enumerate(self.dims) if place not in places)
        return Factor(self.tensor.sum(places), left) if places else self

    def by_datum(self) -> Tensor:
        """``(K, N)``, or ``(1, N)`` without particles, summed over all that is left."""
        left = self.summed([dim for dim in self.dims if dim not in (DATA, PARTICLES)])
        return left.as_dims((PARTICLES, DATA))


def added(factors: Sequence[Factor]) -> Factor:
    """The sum of several, with the dimensions of all."""
    dims = tuple(dict.fromkeys(dim for factor in factors for dim in factor.dims))
    total = factors[0].as_dims(dims)
    for factor in factors[1:]:
        total = total + factor.as_dims(dims)
    return Factor(total, dims)


def summed_out(
    factors: Sequence[Factor],
    variables: Mapping[str, frozenset[PlateDim]],
    kept: Mapping[str, frozenset[PlateDim]] | None = None,
) -> list[Factor]:
    r"""The logarithm of the sum over all values of ``variables`` of exp of the sum of ``factors``.

    .. math::
        \log \sum_y \exp \sum_f f(y)

    What is inside a plate is summed for each of its places. One variable after another, those of
    the innermost plates first, and of these always the one that makes the smallest tensor: a chain
    costs its length.

    :param variables: the plates of each site.
    :param kept: the plates of other enumerated sites, which are not summed over.
    :returns: factors that depend on none of them, whose sum is meant.
    :raises ValueError: with both names, where a site that is summed over stands in a plate that a
        site which depends on it is not in.
    """
    left = list(factors)
    every = {**(kept or {}), **variables}
    pending = {name for name in variables if any(name in factor.dims for factor in left)}
    while pending:
        depth = max(len(variables[name]) for name in pending)
        deepest = [name for name in pending if len(variables[name]) == depth]
        name = min(deepest, key=lambda each: (_size_of_sum(left, each), each))
        touched = [factor for factor in left if name in factor.dims]
        plates = variables[name]
        inside = []
        for factor in touched:
            check_plates(factor, every)
            inner = factor.plates - plates
            for other in factor.variables if inner else ():
                if every.get(other, frozenset()) & inner:
                    names = ", ".join(sorted(repr(plate.name) for plate in inner))
                    raise ValueError(
                        f"site {other!r} is enumerated inside the plate {names}, and what depends "
                        f"on it depends on site {name!r} outside of it too, so that the sum has "
                        "a term for every combination of all places: draw one of them instead"
                    )
            inside.append(factor.summed(inner))
        joined = added(inside)
        total = joined.tensor.logsumexp(joined.dims.index(name))
        left = [factor for factor in left if name not in factor.dims]
        left.append(Factor(total, tuple(dim for dim in joined.dims if dim != name)))
        pending.discard(name)
    return left


def check_plates(factor: Factor, variables: Mapping[str, frozenset[PlateDim]]) -> None:
    """Check that a factor is in all the plates of the sites that it depends on.

    :raises ValueError: with the site's name and the plate's.
    """
    for name in factor.variables:
        for plate in variables.get(name, frozenset()) - factor.plates:
            if plate != PARTICLES:
                raise ValueError(
                    f"site {name!r} is enumerated inside the plate {plate.name!r}, and a site "
                    "outside of it depends on it: put that one into the plate, or draw the site "
                    "instead"
                )


def _size_of_sum(factors: Sequence[Factor], name: str) -> int:
    sizes: dict[Dim, int] = {}
    for factor in factors:
        if name in factor.dims:
            sizes.update(zip(factor.dims, factor.tensor.shape, strict=True))
    return torch.Size(sizes.values()).numel()
