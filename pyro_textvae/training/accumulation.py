# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Steps of the optimiser that take the gradients of several batches together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.errors import UserError
from pyro_textvae.training.procedure import Procedure
from pyro_textvae.training.progress import Progress


@dataclass(frozen=True)
class Part:
    """What a batch is of a step that takes several together.

    :param num_sentences: of all batches of the step.
    :param is_first: whether gradients begin at zero.
    :param is_last: whether the optimiser takes its step.
    """

    num_sentences: int
    is_first: bool
    is_last: bool


def part_of_step(plan: Sequence[Any], place: int, count: int) -> Part | None:
    """What a batch is of its step; None where one batch is all of it.

    The last step of an epoch has what batches are left.

    >>> part_of_step(["abcd", "ef", "gh"], place=1, count=2)
    Part(num_sentences=6, is_first=False, is_last=True)
    >>> part_of_step(["abcd", "ef", "gh"], place=2, count=2)
    Part(num_sentences=2, is_first=True, is_last=True)

    :param plan: the rows of each batch of the epoch.
    :param place: of the batch in the plan.
    :param count: batches in a step.
    """
    if count == 1:
        return None
    first = place - place % count
    together = plan[first : first + count]
    sentences = sum(len(rows) for rows in together)
    return Part(sentences, is_first=place == first, is_last=place == first + len(together) - 1)


def checkpoint_is_due(progress: Progress, config: TrainingConfig) -> bool:
    """Whether a checkpoint falls into the step that was just taken; never between its batches."""
    count, every = config.accumulate_batches, config.checkpoint_every
    if progress.batch % count:
        return False
    return progress.step // every > (progress.step - count) // every


def check_accumulation(procedure: Procedure, config: TrainingConfig) -> None:
    """Refuse a procedure whose steps would end up among the batches of another step.

    :raises UserError: with what to leave out.
    """
    steps_alone = (
        type(procedure).before_step is not Procedure.before_step
        or type(procedure).trainable is not Procedure.trainable
    )
    if config.accumulate_batches > 1 and steps_alone:
        raise UserError(
            f"accumulate_batches={config.accumulate_batches} does not go with {procedure.name}, "
            "which takes steps between the batches: leave one of the two out"
        )
