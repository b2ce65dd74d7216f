# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Rounds of draws for the sentences of a batch, until each is as good as was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.running_weights import (
    RunningWeights,
    boundaries,
    num_blocks,
    summarise,
)
from pyro_textvae.evaluation.importance.samplers import Block, Sampler
from pyro_textvae.evaluation.importance.target import Target


@dataclass(frozen=True)
class DrawSettings:
    """How many draws there are to be.

    num_samples
        Draws of a round for each sentence.
    quasi_random
        Whether they come from a low-discrepancy sequence.
    target_standard_error
        Above it a sentence gets a further round; None for one round.
    most_rounds
        Rounds, at most.
    """

    num_samples: int
    quasi_random: bool = False
    target_standard_error: float | None = None
    most_rounds: int = 1


def draw_round(
    sampler: Sampler,
    num_samples: int,
    number: int,
    *,
    most_rounds: int,
    quasi_random: bool = False,
) -> RunningWeights:
    """The draws of one round.

    :param number: of the round.
    :param most_rounds: that are summarised together, at most.
    """
    independent = sampler.independent and not quasi_random
    weights = RunningWeights(num_samples, num_samples * most_rounds)
    blocks = num_blocks(num_samples, independent=independent)
    for block, (start, stop) in enumerate(pairwise(boundaries(num_samples, blocks))):
        weights.add(sampler.scored(Block(start, stop, num_samples, block, number)))
    return weights


def draw_rounds(
    sampler: Sampler, target: Target, posteriors: GuideDraws, settings: DrawSettings
) -> dict[str, Tensor]:
    """The columns of :class:`~pyro_textvae.evaluation.LogLikelihood` that draws tell of."""
    whole, left = target, sampler
    rounds: list[tuple[Tensor, RunningWeights]] = []
    count = target.num_sentences
    unfinished = torch.arange(count)
    cost = torch.zeros(count, dtype=torch.long)
    columns: dict[str, Tensor] = {}
    for number in range(settings.most_rounds):
        if number:
            target = whole.rows(unfinished)
            left = sampler.rows(target, posteriors.rows(unfinished), unfinished)
        drawn = draw_round(
            left,
            settings.num_samples,
            number,
            most_rounds=settings.most_rounds,
            quasi_random=settings.quasi_random,
        )
        rounds.append((unfinished, drawn))
        cost[unfinished] += target.costs
        weights = [
            part.rows(torch.isin(rows, unfinished).nonzero().squeeze(1)) for rows, part in rounds
        ]
        summary = summarise(
            weights,
            independent=sampler.independent and not settings.quasi_random,
            populations=not sampler.independent,
        )
        summary["num_draws"] = torch.full_like(unfinished, settings.num_samples * (number + 1))
        for name, value in summary.items():
            if name not in columns:
                columns[name] = value.new_zeros((count, *value.shape[1:]))
            columns[name][unfinished] = value
        if settings.target_standard_error is None:
            break
        error = summary["standard_error"]
        unfinished = unfinished[~(error <= settings.target_standard_error)]
        if not len(unfinished):
            break
    return columns | {"decoder_evaluations": cost}
