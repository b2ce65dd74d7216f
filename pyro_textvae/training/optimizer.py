# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The optimiser of the settings."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pyro_textvae.config.train import TrainConfig


def new_optimizer(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """An optimiser that has seen no step yet, at the learning rate of the settings.

    It is fused: one kernel for all parameters, and a flag on the device can keep it from a step.
    """
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    return torch.optim.SGD(parameters, lr=config.learning_rate, fused=True)


def load_optimizer(
    optimizer: torch.optim.Optimizer, state: dict[str, Any], places: list[int]
) -> None:
    """Restore what ``state_dict`` returned, be it of an optimiser that was not fused.

    :param places: for each parameter of ``optimizer``, its place among those of the state.
    :raises ValueError: when what is known of a parameter has another shape than it has.
    """
    (group,), parameters = state["param_groups"], optimizer.param_groups[0]["params"]
    known = {new: state["state"][old] for new, old in enumerate(places) if old in state["state"]}
    for place, values in known.items():
        shape = parameters[place].shape
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != shape:
                raise ValueError(
                    f"{name} of parameter {place} has shape {tuple(value.shape)}, the parameter "
                    f"has {tuple(shape)}"
                )
    ordered = {**group, "params": list(range(len(places)))}
    optimizer.load_state_dict({"state": known, "param_groups": [ordered]})
    optimizer.param_groups[0]["fused"] = True
