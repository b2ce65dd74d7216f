# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A lower and an upper bound of log p(x) for each sentence, and whether they are close."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.evaluation.annealing.path import AnnealedEstimate

CLOSED = 0.1
"""Nats between the bounds of a sentence up to which its log p(x) is known."""
_MOST_ERRORS = 3.0
_HARDLY_MOVES = 0.3


@dataclass(frozen=True)
class Sandwich:
    """Bounds of log p(x) by annealing in both directions; float64, nats, ``(N,)``.

    lower, lower_error
        From the start of the path to the joint, and its standard error.
    upper, upper_error
        Back, from draws of the posterior, or from those that stand for them.
    spread
        Standard deviation of the log-weights of the lower bound.
    lower_acceptance, upper_acceptance
        Mean probability of acceptance of the moves.
    """

    lower: Tensor
    lower_error: Tensor
    upper: Tensor
    upper_error: Tensor
    spread: Tensor
    lower_acceptance: Tensor
    upper_acceptance: Tensor

    @classmethod
    def of(cls, lower: AnnealedEstimate, upper: AnnealedEstimate) -> Sandwich:
        """That of chains in both directions."""
        return cls(
            lower.log_px,
            lower.standard_error,
            upper.log_px,
            upper.standard_error,
            lower.spread,
            lower.acceptance,
            upper.acceptance,
        )

    def replaced(self, places: Tensor, other: Sandwich) -> Sandwich:
        """With the bounds of ``other`` at these places."""
        columns = {}
        for each in fields(self):
            column = getattr(self, each.name).clone()
            column[places] = getattr(other, each.name)
            columns[each.name] = column
        return Sandwich(**columns)

    @cached_property
    def gap(self) -> Tensor:
        """Upper less lower bound, ``(N,)``: in expectation not negative, and 0 at best."""
        return self.upper - self.lower

    @cached_property
    def gap_error(self) -> Tensor:
        """Its standard error, ``(N,)``."""
        return torch.hypot(self.lower_error, self.upper_error)

    @cached_property
    def is_closed(self) -> Tensor:
        """Whether the bounds are within 0.1 nats, ``(N,)`` of bool."""
        return self.gap.abs() <= CLOSED

    def why_open(self, place: int) -> str:
        """Why the bounds of a sentence are not close, in words; empty where they are."""
        gap, error = self.gap[place].item(), self.gap_error[place].item()
        acceptance = min(self.lower_acceptance[place].item(), self.upper_acceptance[place].item())
        if self.is_closed[place]:
            return ""
        if not self.gap[place].isfinite():
            return "a bound is not finite"
        if gap < 0:
            if -gap <= _MOST_ERRORS * error:
                return f"the bounds cross by {-gap:.2f} nats, by chance: their error is {error:.2f}"
            return (
                f"the bounds cross by {-gap:.2f} nats, their error being {error:.2f}: the draws "
                "that annealing back began from are not the posterior's"
            )
        apart = f"the bounds are {gap:.2f} nats apart"
        if acceptance < _HARDLY_MOVES:
            return f"{apart}: the chains hardly move, {acceptance:.2f} of moves are accepted"
        if gap <= _MOST_ERRORS * error:
            return f"{apart}, and their error is {error:.2f}: too few chains to tell"
        return f"{apart}, their error being {error:.2f}: annealing is too short"

    def to_dict(self, indices: Tensor) -> dict[str, Any]:
        """The summary for a result file.

        :param indices: places of the sentences in the split, ``(N,)``.
        """
        count = len(self.gap)
        return {
            "num_sentences": count,
            "num_closed": int(self.is_closed.sum()),
            "closed": CLOSED,
            "lower": self.lower.mean().item(),
            "upper": self.upper.mean().item(),
            "gap": self.gap.mean().item(),
            "gap_standard_error": self.gap_error.norm().item() / count,
            "not_closed": [
                {
                    "index": int(indices[place]),
                    "lower": self.lower[place].item(),
                    "upper": self.upper[place].item(),
                    "why": self.why_open(place),
                }
                for place in (~self.is_closed).nonzero().flatten().tolist()
            ],
        }
