# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The optimiser of the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pyro_textvae.config.train import TrainingConfig

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}
"""What the setting ``optimizer`` may name."""


def new_optimizer(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """An optimiser that has seen no step yet, at the learning rate of the settings.

    It is fused: one kernel for all parameters, and a flag on the device can keep it from a step.
    """
    further = {} if config.weight_decay is None else {"weight_decay": config.weight_decay}
    return OPTIMIZERS[config.optimizer](parameters, lr=config.learning_rate, fused=True, **further)


def load_optimizer(
    optimizer: torch.optim.Optimizer, state: dict[str, Any], places: list[int]
) -> None:
    """Restore what ``state_dict`` of an optimiser returned, whether that one was fused or not.

    :param places: for each parameter of ``optimizer``, its place among those of the state.
    :raises ValueError: when the moments of a parameter have another shape than the parameter.
    """
    (group,), parameters = state["param_groups"], optimizer.param_groups[0]["params"]
    moments = {new: state["state"][old] for new, old in enumerate(places) if old in state["state"]}
    for place, values in moments.items():
        shape = parameters[place].shape
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != shape:
                raise ValueError(
                    f"{name} of parameter {place} has shape {tuple(value.shape)}, the parameter "
                    f"has {tuple(shape)}"
                )
    ordered = {**group, "params": list(range(len(places)))}
    optimizer.load_state_dict({"state": moments, "param_groups": [ordered]})
    optimizer.param_groups[0]["fused"] = True
