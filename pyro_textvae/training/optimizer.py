# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The optimiser of the settings."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pyro_textvae.config import TrainConfig


def new_optimizer(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """An optimiser that has seen no step yet, at the learning rate of the settings.

    It is fused: one kernel for all parameters, and a flag on the device can keep it from a step.
    """
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    return torch.optim.SGD(parameters, lr=config.learning_rate, fused=True)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore what ``state_dict`` returned, be it of an optimiser that was not fused."""
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        group["fused"] = True
