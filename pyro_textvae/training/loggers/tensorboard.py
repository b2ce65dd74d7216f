# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``--log tensorboard``: event files for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_textvae.training.callback import Callback, Trained
from pyro_textvae.training.logger import library, numbers


class TensorBoardLogger(Callback):
    """Writes event files into ``tensorboard`` in the run: ``tensorboard --logdir runs``.

    What a resumed run repeats takes the place of what was written before.

    :raises UserError: without the package tensorboardX, of the extra ``log``.
    """

    def __init__(self) -> None:
        self._library = library("tensorboardX", "log")
        self._writer: Any = None

    def on_train_begin(self, trainer: Trained) -> None:
        """Open a file of events."""
        self._writer = self._library.SummaryWriter(
            str(trainer.path / "tensorboard"), purge_step=trainer.progress.step + 1
        )

    def on_log(self, trainer: Trained, metrics: Mapping[str, Any]) -> None:
        """Write the numbers of some steps."""
        for name, value in numbers(metrics).items():
            self._writer.add_scalar(name, value, metrics["step"])

    def on_epoch_end(self, trainer: Trained, metrics: Mapping[str, Any]) -> None:
        """Write the numbers of an epoch."""
        self.on_log(trainer, metrics)
        self._writer.flush()

    def on_train_end(self, trainer: Trained) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
