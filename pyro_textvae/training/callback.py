# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is told how a training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.training.progress import Progress


class Trained(Protocol):
    """What a callback may read and do of the training that it is told of: a ``Trainer``, say."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def guide(self) -> nn.Module: ...

    @property
    def config(self) -> TrainingConfig: ...

    @property
    def progress(self) -> Progress: ...

    @property
    def path(self) -> Path:
        """The folder that is trained into."""

    def stop(self) -> None:
        """End with this epoch; a resumed run goes on from there."""


class Callback:
    """Is told of a training as it goes on, and changes nothing of its numbers.

    A child overrides what it wants to hear of. Random numbers that it draws are put back, so that a
    run with it and a run without it are the same.

    >>> class StopAtTen(Callback):
    ...     def on_epoch_end(self, trainer, metrics):
    ...         if metrics["valid_elbo"] < 10:
    ...             trainer.stop()
    """

    def on_train_begin(self, trainer: Trained) -> None:
        """Called before the first step, of a resumed training too; its checkpoint is written."""

    def on_log(self, trainer: Trained, metrics: Mapping[str, Any]) -> None:
        """Called every ``log_every`` steps.

        :param metrics: that line of metrics.jsonl: ``epoch``, ``step``, ``loss``, ``kl``, ...
        """

    def on_epoch_end(self, trainer: Trained, metrics: Mapping[str, Any]) -> None:
        """Called after each epoch, once its weights and its checkpoint are written.

        :param metrics: that line of metrics.jsonl: ``epoch``, ``train_loss``, ``valid_elbo``, ...
        """

    def on_train_end(self, trainer: Trained) -> None:
        """Called at the end, however it comes: the last epoch, an early stop, Ctrl-C, an error."""
