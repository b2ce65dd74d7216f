# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint of a trainer holds, so that a run goes on from it bit for bit."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pyro_textvae.training.optimizer import load_optimizer
from pyro_textvae.training.progress import Progress
from pyro_textvae.training.random_state import get_random_state, set_random_state

if TYPE_CHECKING:
    from pyro_textvae.training.trainer import Trainer


def state_of(trainer: Trainer) -> dict[str, Any]:
    """Everything that training changes, in a form that can be saved without pickled code."""
    objective: Any = trainer.objective
    return {
        "modules": trainer.modules.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "parameters": _names(trainer),
        "objective": objective.state_dict() if hasattr(objective, "state_dict") else None,
        "procedure": trainer.procedure.state_dict(),
        "progress": asdict(trainer.progress),
        "epoch_mean": trainer.epoch_mean.state_dict(),
        "log_mean": trainer.log_mean.state_dict(),
        "metrics_size": trainer.metrics.size,
        "timing_size": trainer.timing.size,
        "random_state": get_random_state(),
    }


def take_up(trainer: Trainer, state: dict[str, Any]) -> None:
    """Put a trainer where the one was that ``state_of`` was asked for."""
    objective: Any = trainer.objective
    trainer.modules.load_state_dict(state["modules"])
    names = _names(trainer)
    # Checkpoints from before names were kept hold all parameters in the order of that time.
    before = state.get("parameters", [name for name in state["modules"] if name in set(names)])
    load_optimizer(trainer.optimizer, state["optimizer"], [before.index(name) for name in names])
    trainer.updates.forget()
    if state["objective"] is not None:
        objective.load_state_dict(state["objective"])
    # Checkpoints from before there were procedures have none.
    trainer.procedure.load_state_dict(state.get("procedure", {}))
    trainer.progress = Progress(**state["progress"])
    trainer.epoch_mean.load_state_dict(state["epoch_mean"])
    trainer.log_mean.load_state_dict(state["log_mean"])
    trainer.metrics.cut(state["metrics_size"])
    trainer.timing.cut(state["timing_size"])
    set_random_state(state["random_state"])


def _names(trainer: Trainer) -> list[str]:
    """Names of what is trained, in the order of the optimiser."""
    return [name for name, p in trainer.modules.named_parameters() if p.requires_grad]
