# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The optimiser of the settings."""

from __future__ import annotations

import torch
from torch import nn

from pyro_textvae.config import TrainConfig


def new_optimizer(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """An optimiser that has seen no step yet, at the learning rate of the settings."""
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    return torch.optim.SGD(parameters, lr=config.learning_rate)
