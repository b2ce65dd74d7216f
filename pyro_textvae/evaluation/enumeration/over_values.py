# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The estimates of sentences from those of their rows: the sum over all values of p(x, y)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyro_textvae.evaluation.enumeration.row_facts import RowFacts
from pyro_textvae.evaluation.enumeration.summed_out import (
    SummedOut,
    error_of_log_sum,
    log_sum,
    shares,
)
from pyro_textvae.evaluation.enumeration.value_rows import ValueRows
from pyro_textvae.evaluation.importance.result import LogLikelihood
from pyro_textvae.evaluation.importance.student import freedom_of_sum

NEGLIGIBLE = 1e-3
"""The share of p(x) that values may have together for their own evidence not to count."""


def over_values(rows: LogLikelihood, made_of: ValueRows) -> LogLikelihood:
    r"""Sum the estimates of p(x, y) over y.

    .. math:: \hat p(x) = \sum_y \hat p(x, y)

    It is unbiased where those are, whatever the guide's q(y | x). The draws of all y are those of
    one stratified estimate: the effective sample size and the largest weight are of all of them
    together, and errors count by the share of p(x) that their y has. k-hat is the largest of the y
    that make up all but :data:`NEGLIGIBLE` of p(x), each taken to have as much as it may have by
    its own evidence.

    :param rows: of ``made_of``, in its order.
    """
    facts, keys, given = made_of.facts()
    choices = made_of.choices
    # Where a site is masked out it has one term, and its value says nothing.
    counted = (facts.unmasked | (choices == 0)).all(2)
    is_given = ((given.unsqueeze(1) < 0) | (given.unsqueeze(1) == choices)).all(2)

    def apart(column: Tensor) -> Tensor:
        return column.reshape(-1, len(choices), *column.shape[1:])

    log_joint = apart(rows.log_px).masked_fill(~counted, -math.inf)
    log_px = log_sum(log_joint, counted)
    share = shares(log_joint, counted)
    matters = _matters(log_joint, apart(rows.bias))
    # Of a value that has next to nothing, and an error that is not known, all may be wrong.
    errors = apart(rows.standard_error)
    errors = errors.where(matters | errors.isfinite(), 1.0)
    if rows.exact:
        error_freedom = torch.full_like(log_px, math.inf)
    else:
        of_terms = (share * errors).where(share > 0, 0.0)
        error_freedom = freedom_of_sum(of_terms.T, apart(rows.error_freedom).T)
    difference = apart(rows.half_difference)
    halves = [
        log_sum(log_joint + math.log(2) + logsigmoid(sign * difference), counted)
        for sign in (1, -1)
    ]
    possible = log_px > -math.inf

    def where_it_matters(column: Tensor, nothing: float) -> Tensor:
        return apart(column).where(matters, nothing)

    def squared(column: Tensor) -> Tensor:
        return (share.square() * apart(column)).where(matters, 0.0).sum(1)

    bounds = _Bounds.of(
        apart(rows.reconstruction), apart(rows.kl), facts, counted, counted & is_given
    )
    summed_out = SummedOut(
        names=tuple(site.name for site in made_of.sites),
        fields=tuple(site.field for site in made_of.sites),
        choices=choices,
        log_joint=log_joint,
        standard_error=errors,
        log_guide=None if facts.log_guide.isnan().all() else facts.log_guide,
        is_given=is_given,
        labelled=(given >= 0).any(1),
        elbo=bounds.elbo,
        elbo_joint=bounds.elbo_joint,
    )
    notes = [
        f"{made_of.names} summed out: p(x) is the sum over {len(choices)} values, each estimated "
        "by its own draws"
    ]
    if summed_out.log_guide is None:
        notes.append(f"the guide has no q({made_of.names} | x): there is no elbo of the text alone")
    return replace(
        rows,
        log_px=log_px,
        smoothed=log_sum(apart(rows.smoothed), counted),
        jackknife=log_px + squared(rows.jackknife - rows.log_px),
        standard_error=error_of_log_sum(log_joint, errors, counted).where(possible, math.nan),
        error_freedom=error_freedom,
        ess=1 / (share.square() / apart(rows.ess)).where(matters, 0.0).sum(1),
        khat=_largest(where_it_matters(rows.khat, math.nan)),
        largest_weight=(share * where_it_matters(rows.largest_weight, 0.0)).amax(1),
        doubling=log_px - 0.5 * (halves[0] + halves[1]),
        half_doubling=squared(rows.half_doubling),
        half_difference=halves[0] - halves[1],
        curve=log_px.new_zeros((len(log_px), 0)),
        curve_error=log_px.new_zeros((len(log_px), 0)),
        reconstruction=bounds.reconstruction,
        kl=bounds.kl,
        num_tokens_per_sentence=apart(rows.num_tokens_per_sentence)[:, 0],
        num_draws=apart(rows.num_draws).sum(1),
        decoder_evaluations=(apart(rows.decoder_evaluations) + facts.evaluations).sum(1),
        keys=keys,
        notes=(*rows.notes, *notes),
        summed_out=summed_out,
    )


def _matters(log_joint: Tensor, bias: Tensor) -> Tensor:
    """The values that have all but :data:`NEGLIGIBLE` of p(x), ``(N, C)``."""
    most = (log_joint + bias.nan_to_num(0.0, posinf=0.0)).nan_to_num(-math.inf, posinf=-math.inf)
    share = shares(most, torch.ones_like(most, dtype=torch.bool))
    ascending = share.sort(1)
    beyond = ascending.values.cumsum(1) > NEGLIGIBLE
    matters = torch.zeros_like(beyond).scatter(1, ascending.indices, beyond)
    # Where none is possible, all of them say so.
    return matters | (share.sum(1, keepdim=True) == 0)


def _largest(khat: Tensor) -> Tensor:
    """The largest that is known of each row ``(N,)``; NaN where none is."""
    known = ~khat.isnan()
    return khat.where(known, -math.inf).amax(1).where(known.any(1), math.nan)


@dataclass(frozen=True)
class _Bounds:
    """The guide's bounds of log p(x) and of log p(x, given y), and the terms of the first."""

    elbo: Tensor
    elbo_joint: Tensor
    reconstruction: Tensor
    kl: Tensor

    @classmethod
    def of(
        cls, log_likelihood: Tensor, kl: Tensor, facts: RowFacts, counted: Tensor, given: Tensor
    ) -> _Bounds:
        """From E log p(x, y | z) and the KL of z of every value, ``(N, C)``."""
        elbo = log_likelihood - kl
        text = log_likelihood - facts.log_prior
        single = given.sum(1) == 1

        def alone(column: Tensor) -> Tensor:
            return column.where(given, 0.0).sum(1).where(single, math.nan)

        if facts.log_guide.isnan().all():
            bound = elbo.where(counted, 0.0).sum(1).where(counted.sum(1) == 1, math.nan)
            return cls(bound, alone(elbo), alone(text), alone(kl))
        if not facts.bound.isnan().all():
            bound = facts.bound.where(counted, 0.0).sum(1)
            of_text = facts.reconstruction.where(counted, 0.0).sum(1)
            is_all = given.sum(1) == counted.sum(1)
            joint = alone(elbo).where(~is_all, bound)
            return cls(bound, joint, of_text, of_text - bound)
        bound = _bound(elbo, facts.log_guide, counted)
        weight = shares(facts.log_guide, counted)
        of_text = (weight * text).where(weight > 0, 0.0).sum(1)
        joint = _bound(elbo, facts.log_guide, given)
        return cls(bound, joint, of_text, of_text - bound)


def _bound(elbo: Tensor, log_guide: Tensor, chosen: Tensor) -> Tensor:
    """The bound of the log of the sum over ``chosen``, by q(y | x) among them; ``(N,)``."""
    weight = shares(log_guide, chosen)
    return (weight * (elbo - weight.log())).where(weight > 0, 0.0).sum(1)
