# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Train the guide to convergence before each step of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.infer.auxiliary import auxiliaries_of
from pyro_textvae.special_tokens import PAD
from pyro_textvae.training.procedure import Procedure, Training, find_latents
from pyro_textvae.training.validation import Validation


class AggressiveEncoder(Procedure):
    """Before each step of the model alone, the guide alone is stepped on batches drawn at random.

    The inner loop ends when the mean loss per token of ``inner_window`` steps is above that of the
    window before, or after ``max_inner_steps``. After the first epoch at whose end the mutual
    information of the validation split is below that of the epoch before, training is ordinary,
    for good.

    Each step clips the gradient by the norm over the parameters that it moves, and leaves the
    optimiser's moments of the others as they are; auxiliary losses move with both. The batches
    come from those of the epoch, from a generator of the procedure's own. A KL schedule advances
    with the steps of the model.

    Source: He et al. (2019), Lagging Inference Networks and Posterior Collapse in Variational
    Autoencoders, https://arxiv.org/abs/1901.05534, algorithm 1. Window and number of steps are
    those of the published code, which makes one step fewer and begins the inner loop with the batch
    of the outer step.

    :param max_inner_steps: steps of the guide for one of the model, at most.
    :param inner_window: steps over which the loss is averaged.
    :raises ValueError: when one of them is below 1.
    """

    def __init__(self, max_inner_steps: int = 100, inner_window: int = 10) -> None:
        for name, value in (("max_inner_steps", max_inner_steps), ("inner_window", inner_window)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.max_inner_steps = max_inner_steps
        self.inner_window = inner_window
        self.aggressive = True
        self.inner_steps = 0
        self.mutual_information = -math.inf
        self.generator = torch.Generator()

    def check(self, trainer: Training) -> None:
        """Refuse a pair that has not exactly one latent site: its mutual information is unknown."""
        latents = find_latents(trainer, self)
        if len(latents) > 1:
            raise UserError(
                f"{self.name} stops by the mutual information of one latent site, and "
                f"{type(trainer.model).__name__} has {len(latents)} ({', '.join(latents)}): leave "
                "the procedure out"
            )

    def before_training(self, trainer: Training) -> None:
        """Seed the draws of inner batches."""
        self.generator.manual_seed(trainer.config.seed)

    def before_step(self, trainer: Training, batch: Mapping[str, Tensor]) -> None:
        """The inner loop."""
        if not self.aggressive:
            return
        previous, tokens = math.inf, 0
        loss: float | Tensor = 0.0
        guide = _moving(trainer.guide, auxiliaries_of(trainer.objective))
        for step in range(1, self.max_inner_steps + 1):
            drawn = trainer.draw_batch(self.generator)
            loss += trainer.update(drawn, guide) * len(drawn[TOKENS])
            tokens += int((drawn[TOKENS] != PAD).sum())
            self.inner_steps += 1
            if step % self.inner_window == 0:
                trainer.check_updates()
                mean = float(loss) / tokens
                if mean > previous:
                    return
                previous, loss, tokens = mean, 0.0, 0

    def trainable(self, trainer: Training) -> list[nn.Parameter] | None:
        """The model alone, while the guide is trained in the inner loop."""
        if not self.aggressive:
            return None
        return _moving(trainer.model, auxiliaries_of(trainer.objective))

    def after_epoch(self, trainer: Training, validation: Validation) -> None:
        """Stop for good when the mutual information no longer climbs."""
        self.inner_steps = 0
        if not self.aggressive:
            return
        if validation.mutual_information is None:
            self.aggressive = False
            trainer.report(
                "the mutual information of this guide is unknown, and only it could end the inner "
                "loop: model and guide are stepped together now"
            )
            return
        if validation.mutual_information < self.mutual_information:
            self.aggressive = False
            trainer.report(
                f"mutual information fell from {self.mutual_information:.3f} to "
                f"{validation.mutual_information:.3f}: model and guide are stepped together now"
            )
        self.mutual_information = validation.mutual_information

    def describe(self) -> dict[str, Any]:
        """Whether the guide was trained ahead, and by how many steps in the epoch."""
        return {"aggressive": self.aggressive, "inner_steps": self.inner_steps}

    def state_dict(self) -> dict[str, Any]:
        """Whether it is still on, the last mutual information, and the draws of batches."""
        return {
            "aggressive": self.aggressive,
            "inner_steps": self.inner_steps,
            "mutual_information": self.mutual_information,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state_dict`` was asked for."""
        self.aggressive = state["aggressive"]
        self.inner_steps = state["inner_steps"]
        self.mutual_information = state["mutual_information"]
        self.generator.set_state(state["generator"])


def _moving(*modules: nn.Module) -> list[nn.Parameter]:
    return [p for module in modules for p in module.parameters() if p.requires_grad]
