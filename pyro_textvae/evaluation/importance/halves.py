# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Two halves of the draws, each of which says whether the other is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.evaluation.importance.running_weights import RunningWeights, summarise
from pyro_textvae.evaluation.importance.settled import is_enough
from pyro_textvae.evaluation.importance.student import freedom_of_sum

_KEPT = ("reconstruction", "sampled_kl")


@dataclass(frozen=True)
class _Stage:
    """The draws of one stage: places of its sentences, and their weights in two halves."""

    rows: Tensor
    halves: tuple[RunningWeights, RunningWeights]
    independent: bool


class CrossedHalves:
    r"""Estimates in two halves that go on to the next stage by one another's evidence.

    .. math:: \hat p = \tfrac12 (\hat p_1 + \hat p_2)

    A stage gives both halves new draws. A half keeps its estimate where the *other* half of the
    same stage is settled, and is replaced by that of the next stage where it is not. Given all that
    was before the stage the halves are independent, so what decides over a half is independent of
    it, and :math:`\hat p` stays unbiased for p(x) however the rule reads. A rule that looked at the
    estimate that it keeps would prefer sentences whose largest weights were missed.

    :param count: number of sentences.
    """

    def __init__(self, count: int) -> None:
        self.cost = torch.zeros(count, dtype=torch.long)
        """Decoder evaluations of each sentence."""
        self._open = torch.ones(2, count, dtype=torch.bool)
        self._last = torch.zeros(2, count, dtype=torch.long)
        self._stages: list[_Stage] = []

    @property
    def unsettled(self) -> Tensor:
        """Places of the sentences that need a further stage."""
        return self._open.any(0).nonzero().squeeze(1)

    def add(
        self,
        rows: Tensor,
        halves: tuple[RunningWeights, RunningWeights],
        evaluations: Tensor,
        *,
        independent: bool = True,
    ) -> None:
        """The draws of a stage.

        :param rows: places of the sentences, all those that are unsettled among them.
        :param evaluations: decoder evaluations of each, ``(n,)``.
        :param independent: whether the draws of a half are; else they are populations of particles,
            and their error is that between those.
        """
        self.cost[rows] += evaluations
        for half in (0, 1):
            replaced = self._open[half, rows]
            self._last[half, rows[replaced]] = len(self._stages)
        summaries = [_summary([part], independent) for part in halves]
        settled = [is_enough(one["khat"], one["standard_error"]) for one in summaries]
        for half in (0, 1):
            self._open[half, rows] &= ~settled[1 - half]
        self._stages.append(_Stage(rows, halves, independent))

    def columns(self) -> dict[str, Tensor]:
        """What the halves say together, as in :func:`summarise`, of every sentence."""
        columns: dict[str, Tensor] = {}
        for first in range(len(self._stages)):
            for second in range(len(self._stages)):
                rows = ((self._last[0] == first) & (self._last[1] == second)).nonzero().squeeze(1)
                if not len(rows):
                    continue
                for name, value in self._together(rows, first, second).items():
                    if name not in columns:
                        shape = (self._last.shape[1], *value.shape[1:])
                        columns[name] = value.new_full(shape, math.nan)
                    columns[name][rows] = value
        # What is averaged under the guide is so by the first stage, whose draws are near it.
        start = self._stages[0]
        of_start = _summary(start.halves, start.independent)
        for name in _KEPT:
            columns[name][start.rows] = of_start[name]
        return columns

    def _together(self, rows: Tensor, first: int, second: int) -> dict[str, Tensor]:
        stages = [self._stages[number] for number in (first, second)]
        parts = [
            stage.halves[half].rows(torch.searchsorted(stage.rows, rows))
            for half, stage in enumerate(stages)
        ]
        independent = [stage.independent for stage in stages]
        # Of as many draws each, the halves are one set of draws, whatever they are from.
        if first == second or (all(independent) and _same_number(parts)):
            return _summary(parts, all(independent))
        return _joined(
            *(_summary([part], alone) for part, alone in zip(parts, independent, strict=True))
        )


def _summary(parts: Sequence[RunningWeights], independent: bool) -> dict[str, Tensor]:
    columns = summarise(parts, independent=independent, populations=not independent)
    # How the estimate grows with K means nothing of draws that were replaced.
    return {name: value for name, value in columns.items() if not name.startswith("curve")}


def _same_number(parts: list[RunningWeights]) -> bool:
    return parts[0].num_samples == parts[1].num_samples


def _joined(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    """Two estimates of equal weight, whose draws are of unlike numbers or distributions."""
    log_px = torch.logaddexp(one["log_px"], other["log_px"]) - math.log(2)
    weighted = [(0.5 * (part["log_px"] - log_px).exp(), part) for part in (one, other)]
    errors = [share * part["standard_error"] for share, part in weighted]
    squares = torch.stack([share.square() / part["ess"] for share, part in weighted])
    result = {name: 0.5 * (one[name] + other[name]) for name in one}
    result |= {
        "log_px": log_px,
        "smoothed": torch.logaddexp(one["smoothed"], other["smoothed"]) - math.log(2),
        "jackknife": log_px
        + sum(share.square() * (part["jackknife"] - part["log_px"]) for share, part in weighted),
        "standard_error": torch.hypot(*errors),
        "error_freedom": freedom_of_sum(
            torch.stack(errors), torch.stack([part["error_freedom"] for part in (one, other)])
        ),
        "ess": 1 / squares.sum(0),
        "khat": torch.fmax(one["khat"], other["khat"]),
        "largest_weight": torch.fmax(*(share * part["largest_weight"] for share, part in weighted)),
        "half_doubling": 0.5 * (one["doubling"] + other["doubling"]),
        "doubling": log_px - 0.5 * (one["log_px"] + other["log_px"]),
        "half_difference": one["log_px"] - other["log_px"],
    }
    return result
