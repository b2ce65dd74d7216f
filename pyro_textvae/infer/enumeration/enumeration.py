# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The log-densities of one pass for every value of the sites that its guide enumerates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyro_textvae.infer.enumeration.factor import (
    DATA,
    PARTICLES,
    Dim,
    Factor,
    PlateDim,
    added,
    check_plates,
    summed_out,
)


@dataclass(frozen=True)
class Enumeration:
    r"""One pass of K particles: log p and log q for every value y of the guide's enumerated sites.

    Other latents z may have been drawn once for each value: then y stands beside the plates in the
    dimensions of their densities.

    choices
        log q(y | x, ...) of each enumerated site.
    densities
        log q(z | x, y) of each site that was drawn.
    joint
        log p(x, y, z), in parts that add up to it; what the model alone enumerates is summed out.
    values
        The values of each enumerated site, ``(C, *event)``.
    shape
        ``(K, N)``.
    """

    choices: Mapping[str, Factor]
    densities: Mapping[str, Factor]
    joint: Sequence[Factor]
    values: Mapping[str, Tensor]
    shape: torch.Size

    @property
    def plates(self) -> dict[str, frozenset[PlateDim]]:
        """The plates of each enumerated site."""
        return {name: choice.plates for name, choice in self.choices.items()}

    def log_total(
        self,
        *,
        joint: Tensor | float = 1.0,
        choices: Tensor | float = 0.0,
        densities: Tensor | float = -1.0,
        plus: Iterable[Factor] = (),
        besides: Iterable[str] = (),
    ) -> Factor:
        r"""The logarithm of a sum over all values of the enumerated sites, for each draw.

        .. math::
            \log \sum_y \exp \big( a \log p(x, y, z_y) + b \log q(y \mid x)
            + c \log q(z_y \mid x, y) \big)

        As it stands, the log-weight of a draw, ``log sum_y p(x, y, z_y) / q(z_y | x, y)``.

        :param joint: a; a number, or one for each sentence, ``(N,)``.
        :param choices: b.
        :param densities: c.
        :param plus: what else is added before the sum.
        :param besides: sites that are not summed over.
        """
        parts = [factor.scaled(joint) for factor in self.joint]
        for weight, factors in ((choices, self.choices), (densities, self.densities)):
            if isinstance(weight, Tensor) or weight:
                parts += [factor.scaled(weight) for factor in factors.values()]
        parts += plus
        kept = set(besides)
        sites = {name: plates for name, plates in self.plates.items() if name not in kept}
        left = summed_out(self._with_every_dim(parts), sites, self.plates)
        # One of a sentence must not be counted for each place of a plate that another is in.
        return added([part.summed(part.plates - {DATA, PARTICLES}) for part in left])

    def by_draw(self, total: Factor) -> Tensor:
        """A total over all sites as ``(K, N)``."""
        return total.by_datum().expand(self.shape)

    def log_weights(self) -> Tensor:
        """log sum_y p(x, y, z_y) / q(z_y | x, y) of each draw, ``(K, N)``."""
        return self.by_draw(self.log_total())

    def log_weights_of(self, name: str) -> Tensor:
        """The terms of that sum for each value of one site, ``(C, K, N)``.

        :raises ValueError: for a site inside a plate in ``"data"``, which has values of each place.
        """
        self._check_is_of_sentence(name)
        return self._by_value(name, self.log_total(besides=[name]))

    def log_guide_of(self, name: str) -> Tensor:
        """log q of each value of one site, ``(C, K, N)``, the other sites' values averaged over.

        :raises ValueError: as :meth:`log_weights_of`.
        """
        self._check_is_of_sentence(name)
        others = [self.choices[name]]
        for above in self._above(others[0], without={name}):
            others.append(self.choices[above])
        sites = {n: plates for n, plates in self.plates.items() if n != name}
        return self._by_value(name, added(summed_out(others, sites, self.plates)))

    def expectation(self, factors: Iterable[Factor]) -> Tensor:
        r"""The mean under q(y | x) of what ``factors`` add up to, for each draw, ``(K, N)``.

        .. math:: \sum_y q(y \mid x) f(y, z_y)
        """
        total: Tensor | float = 0.0
        for factor in factors:
            total = total + self._mean(factor).by_datum()
        return torch.as_tensor(total).expand(self.shape)

    def shares(self, zeros: Tensor, factor: Callable[[Tensor], Factor]) -> Tensor:
        """The share that each entry of a density has of its particle's ``log_weights``.

        :param zeros: of the shape of that density.
        :param factor: makes a factor of it.
        """
        with torch.enable_grad():
            place = zeros.requires_grad_()
            fixed = self.detached()
            total = fixed.by_draw(fixed.log_total(plus=[factor(place)])).sum()
            (share,) = torch.autograd.grad(total, place)
        return share

    def for_model(self) -> Tensor:
        """:meth:`log_weights` with the guide's densities held fixed, ``(K, N)``."""
        return replace(self, densities=_detached(self.densities)).log_weights()

    def for_guide(self, *, choices: bool) -> Tensor:
        r"""What has the gradient of log q at the draws' shares of the weight, ``(K, N)``.

        .. math::
            \sum_y \frac{w_y}{\sum_{y'} w_{y'}} \nabla \log q(z_y \mid x, y), \qquad
            w_y = \frac{p(x, y, z_y)}{q(z_y \mid x, y)}

        :param choices: whether log q(y | x) is in it too.
        """
        attached = [*self.densities.values(), *(self.choices.values() if choices else ())]
        plus = [added([factor, factor.detached().scaled(-1.0)]) for factor in attached]
        fixed = self.detached()
        return fixed.by_draw(fixed.log_total(plus=plus))

    def score(self, name: str) -> Tensor:
        """log q of a drawn site, summed over all of its draws of a particle, ``(K, N)``."""
        return self.densities[name].by_datum().expand(self.shape)

    def detached(self) -> Enumeration:
        """The numbers alone."""
        return replace(
            self,
            choices=_detached(self.choices),
            densities=_detached(self.densities),
            joint=[factor.detached() for factor in self.joint],
        )

    def _mean(self, factor: Factor) -> Factor:
        check_plates(factor, self.plates)
        above = self._above(factor)
        if not above:
            return factor
        log_share = added([self.choices[name] for name in above])
        share = log_share.tensor.exp()
        dims = tuple(dict.fromkeys((*log_share.dims, *factor.dims)))
        share = Factor(share, log_share.dims).as_dims(dims)
        # What is impossible adds nothing, even where its logarithm is infinite.
        value = factor.as_dims(dims)
        value = torch.where(share == 0, torch.zeros_like(value), value)
        return Factor(share * value, dims).summed([dim for dim in dims if isinstance(dim, str)])

    def _above(self, factor: Factor, without: Iterable[str] = ()) -> list[str]:
        """The enumerated sites that a factor depends on, and those that they depend on."""
        names: dict[str, None] = {}
        pending = [name for name in factor.variables if name not in set(without)]
        while pending:
            name = pending.pop()
            if name in names:
                continue
            names[name] = None
            pending += self.choices[name].variables
        return [name for name in self.choices if name in names and name not in set(without)]

    def _with_every_dim(self, parts: list[Factor]) -> list[Factor]:
        """Parts of which one shows K and N, even where no density does."""
        shape = {PARTICLES: self.shape[0], DATA: self.shape[1]}
        zero = parts[0].tensor.new_zeros(()).expand(tuple(shape.values()))
        return [*parts, Factor(zero, tuple(shape))]

    def _check_is_of_sentence(self, name: str) -> None:
        inner = self.plates[name] - {DATA, PARTICLES}
        if inner:
            names = ", ".join(sorted(repr(plate.name) for plate in inner))
            raise ValueError(
                f"site {name!r} is enumerated inside the plate {names}: it has values for each of "
                "its places, and no one value of a sentence"
            )

    def _by_value(self, name: str, factor: Factor) -> Tensor:
        dims: list[Dim] = [name, PARTICLES, DATA]
        left = factor.summed([dim for dim in factor.dims if dim not in dims])
        return left.as_dims(dims).expand(len(self.values[name]), *self.shape)


def _detached(factors: Mapping[str, Factor]) -> dict[str, Factor]:
    return {name: factor.detached() for name, factor in factors.items()}
