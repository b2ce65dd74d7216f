# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a training procedure may do around the steps of the trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from pyro import poutine
from pyro.infer import ELBO
from torch import Tensor, nn

from pyro_textvae.errors import UserError
from pyro_textvae.infer.running import to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites
from pyro_textvae.training.validation import Validation

if TYPE_CHECKING:
    from pyro_textvae.training.trainer import Trainer


class Procedure:
    """Model and guide are stepped together, on the run's objective: the plain procedure.

    Base of the others, which override what they do otherwise. They call ``trainer.update`` for a
    step of their own, ``trainer.draw_batch`` for its batch, ``trainer.check_updates`` before they
    decide anything by its loss, and ``trainer.begin_anew`` to start over. Whatever changes in a
    procedure during training belongs in its ``state_dict``: it is saved with every checkpoint, and
    a resumed run goes on bit for bit.
    """

    @property
    def name(self) -> str:
        """The name it is asked for by: its file's in the catalogue, else its class's."""
        package, _, file = type(self).__module__.rpartition(".")
        return file if package == "pyro_textvae.training.procedures" else type(self).__name__

    def check(self, trainer: Trainer) -> None:
        """Called when the trainer is made, before anything is written.

        :raises UserError: when this pair or these settings cannot be trained so.
        """

    def before_training(self, trainer: Trainer) -> None:
        """Called once, before the first step of a run."""

    def objective(self, trainer: Trainer) -> ELBO:
        """What the epoch that begins is trained on.

        While it is another than the run's own, the run's own KL schedule stands still, and no epoch
        counts against the patience.
        """
        return trainer.objective

    def before_step(self, trainer: Trainer, batch: Mapping[str, Tensor]) -> None:
        """Called before each training step, with its batch."""

    def trainable(self, trainer: Trainer) -> list[nn.Parameter] | None:
        """The parameters that the training step moves; None for all."""

    def after_epoch(self, trainer: Trainer, validation: Validation) -> None:
        """Called after each epoch, once it is written down and before the checkpoint."""

    def describe(self) -> dict[str, Any]:
        """What it did in the epoch that ends, for the line of metrics."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: plain values and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` left off."""


def find_latents(trainer: Trainer, procedure: Procedure) -> dict[str, Any]:
    """The latent sites that the guide samples, by name, for a procedure that trains it.

    :raises UserError: for a model without latents, or a guide without parameters.
    """
    batch = next(iter(trainer.corpus.batches("train", batch_size=2, shuffle=False)))
    with torch.random.fork_rng(), torch.no_grad():
        fields = fields_of(trainer.guide, to_device(batch, trainer.modules))
        trace = poutine.trace(trainer.guide).get_trace(**fields)
    sites = dict(latent_sites(trace))
    if not sites:
        raise UserError(
            f"{trainer.config.model} has no latents, so there is no encoder for {procedure.name} "
            "to train: leave the procedure out"
        )
    if not any(parameter.requires_grad for parameter in trainer.guide.parameters()):
        raise UserError(
            f"the guide {type(trainer.guide).__name__} has no parameters for {procedure.name} "
            "to train: leave the procedure out"
        )
    return sites
