# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is known of discrete sites that were summed out: their posterior, and the labels' nll."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class SummedOut:
    r"""Estimates of log p(x, y) for each of C values y of all summed sites together.

    .. math::
        p(x) = \sum_y p(x, y), \qquad p(y \mid x) = p(x, y) / p(x)

    Float64, nats, in corpus order.

    names
        Of the sites.
    fields
        The fields of a batch that hold given values, by site; None for a latent.
    choices
        The number of each site's value, ``(C, S)``.
    log_joint
        ``(N, C)``; minus infinity where a site is masked out, but for its first value.
    standard_error
        Monte Carlo standard error of ``log_joint``; the draws of different y are independent.
    log_guide
        log q(y | x), ``(N, C)``; None for a guide without it.
    is_given
        Whether a y has the values that are given, ``(N, C)``.
    labelled
        Whether any is given, ``(N,)``.
    elbo, elbo_joint
        The guide's bounds of log p(x) and of the log of ``p(x, given y)``, ``(N,)``; NaN where the
        guide has no q(y | x) and one is needed.
    """

    names: tuple[str, ...]
    fields: tuple[str | None, ...]
    choices: Tensor
    log_joint: Tensor
    standard_error: Tensor
    log_guide: Tensor | None
    is_given: Tensor
    labelled: Tensor
    elbo: Tensor
    elbo_joint: Tensor

    @property
    def num_values(self) -> int:
        """C."""
        return len(self.choices)

    @property
    def num_labelled(self) -> int:
        """The sentences that have a label."""
        return int(self.labelled.sum())

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the sites whose values may be given."""
        pairs = zip(self.names, self.fields, strict=True)
        return tuple(name for name, field in pairs if field is not None)

    @cached_property
    def log_given(self) -> Tensor:
        """log p of the text and the values that are given, of the text where none is; ``(N,)``."""
        return log_sum(self.log_joint, self.is_given)

    @cached_property
    def log_given_error(self) -> Tensor:
        """Standard error of :attr:`log_given`, ``(N,)``."""
        return error_of_log_sum(self.log_joint, self.standard_error, self.is_given)

    @cached_property
    def label_log_prob(self) -> Tensor:
        """log p(given y | x) by Bayes' rule, ``(N,)``; NaN where none is given."""
        log_px = log_sum(self.log_joint, torch.ones_like(self.is_given))
        return (self.log_given - log_px).where(self.labelled, math.nan)

    @cached_property
    def label_error(self) -> Tensor:
        """Standard error of :attr:`label_log_prob`, ``(N,)``: its draws are those of p(x) too."""
        of_given = shares(self.log_joint, self.is_given)
        of_all = shares(self.log_joint, torch.ones_like(self.is_given))
        reach = (of_given - of_all).abs()
        terms = (reach * self.standard_error).where(reach > 0, 0.0)
        return terms.norm(dim=1).where(self.labelled, math.nan)

    @cached_property
    def label_log_prob_by_guide(self) -> Tensor | None:
        """log q(given y | x) of the guide, ``(N,)``, NaN where none is given; None without q."""
        if self.log_guide is None:
            return None
        of_given = log_sum(self.log_guide, self.is_given)
        return of_given.where(self.labelled, math.nan)

    def log_posterior(self, name: str) -> Tensor:
        """log p(y | x) of one site, by Bayes' rule over all, ``(N, values of the site)``.

        :raises KeyError: for a site that is not summed out.
        """
        return self._of_site(name, self.log_joint)

    def log_posterior_by_guide(self, name: str) -> Tensor | None:
        """log q(y | x) of one site, ``(N, values of the site)``; None for a guide without it.

        :raises KeyError: for a site that is not summed out.
        """
        return None if self.log_guide is None else self._of_site(name, self.log_guide)

    def _of_site(self, name: str, log_joint: Tensor) -> Tensor:
        if name not in self.names:
            raise KeyError(f"{name!r} is not summed out, but {', '.join(map(repr, self.names))}")
        choice = self.choices[:, self.names.index(name)]
        columns = [
            log_sum(log_joint, (choice == value).expand_as(log_joint))
            for value in range(int(choice.max()) + 1)
        ]
        return torch.stack(columns, 1).log_softmax(1)


def log_sum(values: Tensor, chosen: Tensor) -> Tensor:
    """The log of the sum of exp(``values``) over the ``chosen`` of each row, ``(N,)``."""
    return values.masked_fill(~chosen, -math.inf).logsumexp(1)


def shares(values: Tensor, chosen: Tensor) -> Tensor:
    """The share of each in that sum, ``(N, C)``; zero where all are."""
    log_total = log_sum(values, chosen).unsqueeze(1)
    share = (values - log_total).exp().where(chosen, 0.0)
    return share.where(log_total > -math.inf, 0.0)


def error_of_log_sum(values: Tensor, errors: Tensor, chosen: Tensor) -> Tensor:
    """Standard error of the log of that sum, for terms that are independent; ``(N,)``."""
    share = shares(values, chosen)
    return (share * errors).where(share > 0, 0.0).norm(dim=1)


def mean_of(parts: Sequence[SummedOut]) -> SummedOut:
    """Of the mean of p(x, y) over draws that ``parts`` are given, all of equal weight."""

    def log_mean(name: str) -> Tensor:
        return torch.stack([getattr(p, name) for p in parts]).logsumexp(0) - math.log(len(parts))

    first = parts[0]
    weights = torch.stack([part.log_joint for part in parts]).softmax(0).nan_to_num(0.0)
    errors = torch.stack([part.standard_error for part in parts])
    between = len(parts) * weights
    return replace(
        first,
        log_joint=log_mean("log_joint"),
        standard_error=torch.fmax(
            between.std(0) / math.sqrt(len(parts)), (weights * errors).norm(dim=0)
        ),
        log_guide=None if first.log_guide is None else log_mean("log_guide"),
        elbo=torch.stack([part.elbo for part in parts]).mean(0),
        elbo_joint=torch.stack([part.elbo_joint for part in parts]).mean(0),
    )
