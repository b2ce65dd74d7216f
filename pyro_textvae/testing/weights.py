# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether every weight of a program is trained and saved."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from pyro_textvae.testing.demands import ContractError, demand_close


def check_gradients(module: nn.Module, total: Callable[[nn.Module], Tensor], what: str) -> None:
    """Check that every parameter that is trained has a gradient.

    :raises ContractError: with the name of the first that has none.
    """
    module.zero_grad()
    if any(parameter.requires_grad for parameter in module.parameters()):
        total(module).backward()
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None or not parameter.grad.abs().sum() > 0:
            raise ContractError(f"parameter {name!r} of the {what} gets no gradient")
    module.zero_grad()


def check_saving(module: nn.Module, score: Callable[[nn.Module], Tensor], what: str) -> None:
    """Check that a score is the same after saving the weights and loading them.

    :raises ContractError: with the sentence where it is not.
    """
    loaded = copy.deepcopy(module)
    # What a part leaves out of its state is what it is built from, and nobody changes it.
    kept = {id(value) for value in loaded.state_dict(keep_vars=True).values()}
    with torch.no_grad():
        for parameter in loaded.parameters():
            if id(parameter) in kept:
                parameter.add_(0.1)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.safetensors")
        save_model(module, path)
        load_model(loaded, path)
    demand_close(score(module), score(loaded), f"saving and loading changes the {what}", 0.0)
