# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Train as an autoencoder first, then keep the guide alone and begin anew."""

from __future__ import annotations

from typing import Any

from pyro.infer import ELBO
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.infer import BetaELBO
from pyro_textvae.training.procedure import Procedure, Training, find_latents
from pyro_textvae.training.validation import Validation


class PretrainedEncoder(Procedure):
    """The first epochs have no KL term; then the model is as at the start, and the guide is kept.

    With the model go the optimiser's state, the learning rate, the best bound and the patience. The
    run's own objective, and its KL schedule, begin only then; its epochs are what is left of
    ``epochs``. Until then no epoch counts against the patience, as the bound does not tell how good
    an autoencoder is.

    Source: Li et al. (2019), A Surprisingly Effective Fix for Deep Latent Variable Modeling of
    Text, https://arxiv.org/abs/1909.00868. Theirs goes on from the best epoch of the autoencoder,
    and adds free bits, which here are the objective's. The model goes back to its own initial
    values, not to another draw of them.

    :param pretrain_epochs: epochs without a KL term.
    :raises ValueError: when it is below 1.
    """

    def __init__(self, pretrain_epochs: int = 10) -> None:
        if pretrain_epochs < 1:
            raise ValueError(f"pretrain_epochs must be at least 1, got {pretrain_epochs}")
        self.pretrain_epochs = pretrain_epochs
        self.initial_model: dict[str, Tensor] | None = None
        self.pretraining = True

    def check(self, trainer: Training) -> None:
        """Refuse a pair that cannot be an autoencoder, or too few epochs to be more than one."""
        for name, site in find_latents(trainer, self).items():
            if not site["fn"].has_rsample:
                raise UserError(
                    f"{self.name} trains through the draws of the latents, and the guide of "
                    f"{name!r} is not reparameterised: leave the procedure out"
                )
        if trainer.config.epochs <= self.pretrain_epochs:
            raise UserError(
                f"pretrain_epochs={self.pretrain_epochs} leaves none of {trainer.config.epochs} "
                f"epochs for the objective: give at least {self.pretrain_epochs + 1} epochs"
            )

    def before_training(self, trainer: Training) -> None:
        """Remember the model."""
        self.initial_model = {
            name: value.detach().cpu().clone() for name, value in trainer.model.state_dict().items()
        }

    def objective(self, trainer: Training) -> ELBO:
        """Reconstruction alone, then the run's own."""
        if self.pretraining:
            return BetaELBO(0.0, trainer.objective.num_particles)
        return trainer.objective

    def after_epoch(self, trainer: Training, validation: Validation) -> None:
        """Put the model back after the last epoch of the autoencoder."""
        if self.initial_model is None or trainer.progress.epoch < self.pretrain_epochs:
            return
        trainer.model.load_state_dict(self.initial_model)
        trainer.begin_anew()
        self.initial_model = None
        self.pretraining = False
        trainer.report("the guide is pre-trained: the model and the optimiser begin anew")

    def describe(self) -> dict[str, Any]:
        """Whether the epoch was the autoencoder's."""
        return {"pretraining": self.pretraining}

    def state_dict(self) -> dict[str, Any]:
        """The phase, and the model's initial values as long as they are needed."""
        return {"pretraining": self.pretraining, "initial_model": self.initial_model}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state_dict`` was asked for."""
        self.pretraining = state["pretraining"]
        self.initial_model = state["initial_model"]
