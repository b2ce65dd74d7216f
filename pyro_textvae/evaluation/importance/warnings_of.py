# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What should keep a reader from trusting a likelihood, in words."""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor

from pyro_textvae.evaluation.enumeration.summed_out import SummedOut
from pyro_textvae.evaluation.importance.settled import HEAVY_TAIL

UNTRUSTED_SHARE = 0.25
"""With more sentences than this above ``HEAVY_TAIL``, the mean is not to be trusted either."""
FEWEST_DRAWS = 10
"""With fewer draws there is no interval: too little is known of their error."""
SMALLEST_ESS = 50.0
_SLOW_RATIO = 0.7
_SLOW_INCREMENT = 0.01
_MOST_NAMED = 5


class Judged(Protocol):
    """What is looked at of a :class:`~pyro_textvae.evaluation.LogLikelihood`."""

    @property
    def exact(self) -> bool: ...

    @property
    def no_interval(self) -> str | None: ...

    @property
    def num_samples(self) -> int: ...

    @property
    def heavy_tail_share(self) -> float | None: ...

    @property
    def doubling_ratio(self) -> float: ...

    @property
    def doubling_increment(self) -> float: ...

    @property
    def median_ess(self) -> float: ...

    @property
    def unresolved(self) -> Tensor: ...

    @property
    def log_px(self) -> Tensor: ...

    @property
    def elbo(self) -> Tensor: ...

    @property
    def standard_error(self) -> Tensor: ...

    @property
    def summed_out(self) -> SummedOut | None: ...


def warnings_of(result: Judged) -> list[str]:
    """The warnings of a result; empty where nothing is wrong."""
    messages = _of_single_sentences(result)
    if result.exact:
        return messages
    if result.no_interval is not None and result.num_samples >= FEWEST_DRAWS:
        messages.append(f"the nll has no interval: {result.no_interval}")
    heavy = result.heavy_tail_share
    if heavy is not None and heavy > UNTRUSTED_SHARE:
        messages.append(
            f"{100 * heavy:.0f} % of sentences have weights with a heavy tail (k-hat above "
            f"{HEAVY_TAIL}): the nll may be too high by more than its error"
        )
    slow = result.doubling_ratio > _SLOW_RATIO and result.doubling_increment > _SLOW_INCREMENT
    if slow and math.isfinite(result.doubling_increment):
        messages.append(
            f"the nll still falls by {result.doubling_increment:.3f} nats with the last doubling "
            f"of K, {result.doubling_ratio:.2f} times as much as with the one before"
        )
    if result.num_samples >= 2 * SMALLEST_ESS and result.median_ess < SMALLEST_ESS:
        messages.append(
            f"half of the sentences have an effective sample size below {SMALLEST_ESS:.0f} "
            f"(median {result.median_ess:.1f} of {result.num_samples})"
        )
    return messages


def _of_single_sentences(result: Judged) -> list[str]:
    """What is wrong with some sentences, with how many and which they are."""
    messages = []
    if result.unresolved.any():
        messages.append(
            f"{_which(result.unresolved)}: the draws of the latents are all alike in the "
            "precision of the guide, so the log-likelihood is that of a point and its error "
            "is not known; the posterior is too narrow for its mean"
        )
    reasons = {
        "log-likelihood": (result.log_px, "the nll is not finite"),
    }
    if result.summed_out is None or result.summed_out.log_guide is not None:
        reasons["bound"] = (result.elbo, "the elbo is not finite")
    if result.num_samples > 1:
        should_have_one = result.log_px.isfinite() & ~result.unresolved
        error = result.standard_error.where(should_have_one, 0.0)
        reasons["standard error"] = (error, "the error of the nll is not known")
    for name, (column, what) in reasons.items():
        if not column.isfinite().all():
            messages.append(f"{_which(~column.isfinite())}: no finite {name}, so {what}")
    return messages


def _which(rows: Tensor) -> str:
    """How many sentences, and the places of the first of them in the split.

    >>> import torch
    >>> _which(torch.tensor([False, True, True]))
    '2 of 3 sentences (index 1, 2)'
    """
    places = rows.nonzero().flatten().tolist()
    named = ", ".join(map(str, places[:_MOST_NAMED]))
    more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
    return f"{len(places)} of {len(rows)} sentences (index {named}{more})"
