# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The thermodynamic bound: a Riemann sum of the path from guide to posterior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws


class ThermodynamicELBO(PerDatumELBO):
    r"""The thermodynamic bound: a Riemann sum along the path from guide to posterior, in nats.

    .. math::
        \sum_j (\beta_{j+1} - \beta_j) \,
        \mathbb{E}_{\pi_{\beta_j}} \log \frac{p(x, z)}{q(z \mid x)},
        \qquad \pi_\beta(z) \propto p(x, z)^\beta \, q(z \mid x)^{1 - \beta}

    The expectations are over the same K draws, weighted, and sums over sites that the guide
    enumerates. The left sum: a lower bound of log p(x), and the evidence lower bound with a single
    beta of 0. Bound and gradient are self-normalised, so both have a bias of order 1/K. Latents may
    be discrete: the gradient is a covariance of log q, and the draws are numbers.

    Source: Masrani et al. (2019), equations 9 and 12, https://arxiv.org/abs/1907.00031.

    >>> import torch
    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.tensor([[-1.0], [-3.0]]), log_ratio={}, kl={}, scale=1.0
    ... )
    >>> ThermodynamicELBO(num_particles=2, betas=[0.0]).bound(terms)
    tensor([-2.])
    >>> ThermodynamicELBO(num_particles=2, betas=[0.0, 0.5]).bound(terms)
    tensor([-1.7689])

    :param num_particles: at least 2, for the covariance.
    :param betas: the left ends of the intervals, from 0 upwards and below 1; by default 0 and four
        more, evenly spaced in log10 from 0.01.
    :raises ValueError: for betas that do not begin with 0, do not rise, or reach 1, and for a
        single particle.
    """

    draws = Draws.DETACHED
    takes_discrete_latents = True
    takes_global_latents = False

    def __init__(
        self, num_particles: int = 16, betas: Sequence[float] | None = None, **options: Any
    ) -> None:
        super().__init__(num_particles, **options)
        if num_particles < 2:
            raise ValueError(
                "num_particles must be at least 2, as one draw has no covariance to train the "
                f"guide by, got {num_particles}"
            )
        if betas is None:
            betas = [0.0, *torch.logspace(-2, 0, 5)[:-1].tolist()]
        rising = all(low < high for low, high in zip(betas, [*betas[1:], 1.0], strict=False))
        if not betas or betas[0] != 0 or not rising or not all(map(math.isfinite, betas)):
            raise ValueError(f"betas must rise from 0 and stay below 1, got {list(betas)}")
        self.betas = [float(beta) for beta in betas]

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, (N,)."""
        if terms.enumerated:
            return self._of_enumerated(terms, create_graph=False)
        log_weights = terms.log_weights
        means = [((beta * log_weights).softmax(0) * log_weights).sum(0) for beta in self.betas]
        return sum(
            (width * mean for width, mean in zip(self._widths(), means, strict=True)),
            torch.zeros_like(log_weights[0]),
        )

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """What has the covariance gradient."""
        if terms.enumerated:
            return self._of_enumerated(terms, create_graph=True)
        log_weights = terms.log_weights
        numbers = log_weights.detach()
        surrogate = torch.zeros_like(numbers[0])
        for width, beta in zip(self._widths(), self.betas, strict=True):
            weights = (beta * numbers).softmax(0)
            centred = weights * (numbers - (weights * numbers).sum(0))
            log_path = beta * terms.log_joint + (1 - beta) * terms.log_guide
            surrogate = surrogate + width * (weights * log_weights + centred * log_path).sum(0)
        return surrogate

    def _of_enumerated(self, terms: PerDatumTerms, *, create_graph: bool) -> Tensor:
        """The bound with the sums over enumerated sites y in the expectations.

        E of log w at beta is the derivative in beta of the logarithm of the sum over draws and y of
        p^beta q^(1 - beta) / q(z_y | x, y), in which the last, what the draws came from, is held
        fixed.
        """
        total = torch.zeros_like(terms.log_likelihood[0])
        for width, beta in zip(self._widths(), self.betas, strict=True):
            with torch.enable_grad():
                place = torch.full_like(total, beta).requires_grad_()
                parts = [
                    sums.by_draw(
                        sums.log_total(
                            joint=place,
                            choices=1 - place,
                            densities=1 - place,
                            plus=[f.detached().scaled(-1.0) for f in sums.densities.values()],
                        )
                    )
                    for sums in terms.enumerated
                ]
                path = torch.cat(parts).logsumexp(0).sum()
                (mean,) = torch.autograd.grad(path, place, create_graph=create_graph)
            total = total + width * mean
        return total

    def _widths(self) -> list[float]:
        ends = [*self.betas[1:], 1.0]
        return [high - low for low, high in zip(self.betas, ends, strict=True)]
