# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The KL of a split taken apart: mutual information, aggregate KL, total correlation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.evaluation.latents.aggregate_posterior import AggregateLogProb, AggregatePosterior
from pyro_textvae.evaluation.latents.control_variates import ControlVariates

TOTAL_CORRELATION_DRAWS = 512
"""Draws for the total correlation, spread evenly over the sentences."""

_LARGEST_Z_SCORE = 6.0


@dataclass(frozen=True)
class LatentDraws:
    """Draws of one latent site for all sentences of a split, and what is known in closed form.

    z
        ``(S, *event)``.
    sentence
        Of which sentence each draw is, ``(S,)``.
    log_prior
        log p(z), each draw under its own sentence's prior, ``(S,)`` float64.
    shared_prior
        Whether the prior is the same for every sentence.
    factorised_prior
        Whether it is a product over the dimensions.
    closed_forms
        By name, ``"KL"`` and ``"entropy"`` of each sentence's posterior, ``(N,)`` float64, where
        the family has one.
    """

    z: Tensor
    sentence: Tensor
    log_prior: Tensor
    shared_prior: bool
    factorised_prior: bool
    closed_forms: dict[str, Tensor]

    def some(self, count: int) -> LatentDraws:
        """``count`` of the draws, at random."""
        rows = torch.randperm(len(self.z))[:count].to(self.z.device)
        return replace(
            self, z=self.z[rows], sentence=self.sentence[rows], log_prior=self.log_prior[rows]
        )


@dataclass(frozen=True)
class ElboSurgery:
    """Parts of the KL in nats, as :class:`pyro_textvae.evaluation.Information` has them."""

    sampled_kl: float
    mutual_information: float | None = None
    mutual_information_standard_error: float | None = None
    mutual_information_upper: float | None = None
    aggregate_kl: float | None = None
    aggregate_kl_standard_error: float | None = None
    total_correlation: float | None = None
    total_correlation_standard_error: float | None = None
    dimensionwise_kl: float | None = None
    dimensionwise_kl_standard_error: float | None = None


def elbo_surgery(
    posteriors: Sequence[Any], draws: LatentDraws, *, total_correlation: bool = True
) -> ElboSurgery:
    """Take the mean KL(q(z | x_n), p(z)) apart, on one set of draws.

    For log q(z | x), log q_N(z) and log p(z) the plain means over the draws add up as they are.
    What is known takes the noise out of all of them alike, as control variates: the draws' own
    means of -log q(z | x) and of log q(z | x) - log p(z) are known where the entropy and the KL
    have closed forms. Each part being the same linear map of its draws, they still add up.

    The total correlation is on a subset of the draws. There the aggregate KL is a control too,
    known from all draws; the dimension-wise KL is the rest of it.

    Source: Hoffman and Johnson (2016), ELBO surgery,
    http://approximateinference.org/2016/accepted/HoffmanJohnson2016.pdf; Chen et al. (2018),
    Isolating sources of disentanglement, equation 2, https://arxiv.org/abs/1802.04942, for the
    total correlation.

    :param posteriors: one distribution for each batch, ``batch_shape`` ``(N_b,)``.
    """
    aggregate = AggregatePosterior(posteriors)
    log_q = aggregate.log_prob(draws.z, draws.sentence)
    columns = _controls(draws, log_q)
    surgery = _on(log_q, draws, columns, aggregate.count)
    if not (draws.shared_prior and total_correlation and aggregate.factorises):
        return surgery
    return replace(surgery, **_by_dimension(aggregate, draws, log_q, columns, surgery))


def surgery_of_pairs(
    log_q: AggregateLogProb, draws: LatentDraws, num_sentences: int
) -> ElboSurgery:
    """The same of densities that are known already, without the parts by dimension.

    :param log_q: of ``draws``.
    """
    return _on(log_q, draws, _controls(draws, log_q), num_sentences)


def _on(
    log_q: AggregateLogProb, draws: LatentDraws, columns: Tensor, num_sentences: int
) -> ElboSurgery:
    controls = ControlVariates(columns, resolution_of(draws.z))
    sampled_kl = controls.mean(log_q.own - draws.log_prior).value
    if not draws.shared_prior:
        # q_N is no posterior of all sentences: its spread holds that of what they are given.
        return ElboSurgery(sampled_kl)
    information = controls.mean(log_q.own - log_q.included)
    to_prior = controls.mean(log_q.included - draws.log_prior)
    return ElboSurgery(
        sampled_kl=sampled_kl,
        mutual_information=information.value,
        mutual_information_standard_error=information.standard_error,
        mutual_information_upper=(
            controls.mean(log_q.own - log_q.left_out).value if num_sentences > 1 else None
        ),
        **_named("aggregate_kl", to_prior.value, to_prior.standard_error),
    )


def _by_dimension(
    aggregate: AggregatePosterior,
    draws: LatentDraws,
    log_q: AggregateLogProb,
    columns: Tensor,
    of_all_draws: ElboSurgery,
) -> dict[str, float]:
    """Total correlation and, where the prior has dimensions of its own, dimension-wise KL."""
    aggregate_kl = of_all_draws.aggregate_kl
    aggregate_kl_error = of_all_draws.aggregate_kl_standard_error
    assert aggregate_kl is not None
    assert aggregate_kl_error is not None
    count = min(TOTAL_CORRELATION_DRAWS, len(draws.z))
    rows = torch.linspace(0, len(draws.z) - 1, count, dtype=torch.float64).round().long()
    rows = rows.to(draws.z.device)
    together = log_q.included[rows]
    values = together - aggregate.marginal_log_prob(draws.z[rows]).sum(1)
    resolution = resolution_of(draws.z)
    above = (together - draws.log_prior[rows] - aggregate_kl).unsqueeze(1)
    controls = ControlVariates(torch.cat([above, columns[rows]], 1), resolution)
    part, rest = controls.mean(values), controls.mean(above.squeeze(1) - values)
    # A control that is itself uncertain hands its error on.
    errors = [
        math.hypot(
            mean.standard_error,
            mean.coefficients[0].item() * aggregate_kl_error,
        )
        for mean in (part, rest)
    ]
    numbers = _named("total_correlation", part.value, errors[0])
    if draws.factorised_prior:
        numbers |= _named("dimensionwise_kl", aggregate_kl - part.value, errors[1])
    return numbers


def _named(name: str, value: float, standard_error: float) -> dict[str, float]:
    return {name: value, f"{name}_standard_error": standard_error}


def _controls(draws: LatentDraws, log_q: AggregateLogProb) -> Tensor:
    """Columns whose mean over all possible draws is 0, ``(S, C)``.

    For each closed form the draws' distance from it, and the sentences' distance from its mean.
    """
    sampled = {"KL": log_q.own - draws.log_prior, "entropy": -log_q.own}
    columns = [log_q.own.new_zeros(len(draws.z), 0)]
    for name, closed_form in draws.closed_forms.items():
        error = sampled[name] - closed_form[draws.sentence]
        if _agrees(name, error, log_q.own, resolution_of(draws.z)):
            columns.append(
                torch.stack([error, (closed_form - closed_form.mean())[draws.sentence]], 1)
            )
    return torch.cat(columns, 1)


def _agrees(name: str, error: Tensor, log_q: Tensor, resolution: float) -> bool:
    """Whether a closed form is right by its draws; a wrong one would bias everything here."""
    if len(error) < 2 or not error.isfinite().all():
        return False
    mean = error.mean().item()
    standard_error = error.std().item() / len(error) ** 0.5
    rounding = resolution * max(1.0, log_q.abs().mean().item())
    if abs(mean) <= _LARGEST_Z_SCORE * standard_error + rounding:
        return True
    warnings.warn(
        f"the closed form of the {name} of the posteriors is {-mean:.3g} nats off the mean of its "
        f"{len(error)} draws, with a standard error of {standard_error:.2g}: the density or the "
        "formula is wrong; the formula is not used for the parts of the KL",
        stacklevel=2,
    )
    return False


def resolution_of(z: Tensor) -> float:
    """Differences of log-densities below this are rounding, in the precision of the guide."""
    return 1e3 * torch.finfo(z.dtype if z.is_floating_point() else torch.float32).eps
