# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a training procedure may do around the steps of the trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from pyro.infer import ELBO
from torch import Tensor, nn

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.data import Corpus
from pyro_textvae.data.batching import Batch
from pyro_textvae.errors import UserError
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.running import to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites
from pyro_textvae.training.progress import Progress
from pyro_textvae.training.validation import Validation


class Training(Protocol):
    """What a procedure may read and do of the training that it is part of: a ``Trainer``, say."""

    @property
    def model(self) -> nn.Module:
        """The generative program."""

    @property
    def guide(self) -> nn.Module:
        """The program of its posterior."""

    @property
    def objective(self) -> ELBO:
        """The run's own, whatever the present epoch is trained on."""

    @property
    def corpus(self) -> Corpus:
        """Whose training split is read."""

    @property
    def config(self) -> TrainingConfig:
        """The settings of training."""

    @property
    def progress(self) -> Progress:
        """The epoch, the step and the best bound so far."""

    @property
    def report(self) -> Callable[[str], None]:
        """Takes a line of text for the user."""

    def update(
        self, batch: Mapping[str, Tensor], parameters: list[nn.Parameter] | None = None
    ) -> float | Tensor:
        """Step ``parameters``, by default all, down the loss of a batch; return it, per sentence.

        On a GPU the loss is a tensor there, which ``float`` waits for.
        """

    def check_updates(self) -> None:
        """Raise what is still to be raised of the updates so far: a GPU is waited for.

        :raises TrainingError: when the loss or gradient of one was not finite.
        """

    def draw_batch(self, generator: torch.Generator) -> Batch:
        """One of the training batches of this epoch, at random and with replacement."""

    def begin_anew(self) -> None:
        """Forget the optimiser's state, the learning rate, the best bound and the patience."""


class Procedure:
    """Model and guide are stepped together, on the run's objective: the plain procedure.

    The base of all procedures, which override what they do differently. They call
    ``trainer.update`` for a step of their own, ``trainer.draw_batch`` for its batch,
    ``trainer.check_updates`` before they decide anything by its loss, and ``trainer.begin_anew`` to
    start over; :class:`Training` is all that they may use. Whatever changes in a procedure during
    training belongs in its ``state_dict``: it is saved with every checkpoint, and a resumed run
    goes on bit for bit.
    """

    fits_other_splits: bool = False
    """Whether a guide that has a posterior for each sentence gets those of all splits fitted."""

    @property
    def name(self) -> str:
        """The name it is asked for by: its file's in the catalogue, else its class's."""
        package, _, file = type(self).__module__.rpartition(".")
        return file if package == "pyro_textvae.training.procedures" else type(self).__name__

    def check(self, trainer: Training) -> None:
        """Called when the trainer is made, before anything is written.

        :raises UserError: when this pair or these settings cannot be trained so.
        """

    def before_training(self, trainer: Training) -> None:
        """Called once, before the first step of a run."""

    def objective(self, trainer: Training) -> ELBO:
        """What the epoch that begins is trained on.

        While it is not the run's own, the run's KL schedule stands still, and no epoch counts
        against the patience.
        """
        return trainer.objective

    def before_step(self, trainer: Training, batch: Mapping[str, Tensor]) -> None:
        """Called before each training step, with its batch."""

    def trainable(self, trainer: Training) -> list[nn.Parameter] | None:
        """The parameters that the training step moves; None for all."""

    def before_validation(self, trainer: Training) -> None:
        """Called at the end of each epoch, before the validation split is measured."""

    def after_epoch(self, trainer: Training, validation: Validation) -> None:
        """Called after each epoch, once it is written down and before the checkpoint."""

    def describe(self) -> dict[str, Any]:
        """What it did in the epoch that ends, for the line of metrics."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: plain values and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state_dict`` was asked for."""


def find_latents(trainer: Training, procedure: Procedure) -> dict[str, Any]:
    """The latent sites that the guide samples, by name, for a procedure that trains it.

    :raises UserError: for a model without latents, or a guide without parameters.
    """
    batch = next(iter(trainer.corpus.batches("train", batch_size=2, shuffle=False)))
    with torch.random.fork_rng(), torch.no_grad():
        fields = fields_of(trainer.guide, to_device(batch, trainer.guide))
        trace = trace_guide(trainer.guide, **fields)
    sites = dict(latent_sites(trace))
    if not sites:
        raise UserError(
            f"{type(trainer.model).__name__} has no latents, so there is no encoder for "
            f"{procedure.name} to train: leave the procedure out"
        )
    if not any(parameter.requires_grad for parameter in trainer.guide.parameters()):
        raise UserError(
            f"the guide {type(trainer.guide).__name__} has no parameters for {procedure.name} "
            "to train: leave the procedure out"
        )
    return sites
