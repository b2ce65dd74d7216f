# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The learning rate of a step, where it is not the same for all steps."""

from __future__ import annotations

import math

import torch

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.training.progress import Progress


def moves(config: TrainingConfig) -> bool:
    """Whether the learning rate changes from step to step."""
    return config.warmup_steps > 0 or config.learning_rate_schedule != "constant"


def rate_factor(config: TrainingConfig, step: int, num_steps: int) -> float:
    r"""What the learning rate of the settings is multiplied by at a step.

    Linear in the first ``warmup_steps`` W, then constant or half a cosine, down to nearly 0 at the
    last of S steps:

    .. math::
        f_t = \tfrac{1}{2} \Bigl(1 + \cos \pi \tfrac{t - W}{S - W}\Bigr), \qquad t \ge W

    A function of the step alone, so that a resumed run needs no state of it.

    >>> config = TrainingConfig(warmup_steps=4, learning_rate_schedule="cosine")
    >>> [round(rate_factor(config, step, 8), 3) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.854, 0.5, 0.146]

    Source: Loshchilov and Hutter (2017), SGDR, https://arxiv.org/abs/1608.03983, without restarts.

    :param step: batches of training done, from 0.
    :param num_steps: those of all epochs.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.learning_rate_schedule == "constant":
        return 1.0
    share = (step - config.warmup_steps) / max(1, num_steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def set_learning_rate(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, progress: Progress, num_steps: int
) -> None:
    """Set the learning rate of the step that comes; leave it where it is the same for all steps.

    :param num_steps: batches of all epochs.
    """
    if not moves(config):
        return
    rate = config.learning_rate * config.decay**progress.decays
    for group in optimizer.param_groups:
        group["lr"] = rate * rate_factor(config, progress.step, num_steps)
