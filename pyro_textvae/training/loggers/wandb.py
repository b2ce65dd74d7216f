# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``--log wandb``: Weights & Biases."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from pyro_textvae.training.callback import Callback, Trained
from pyro_textvae.training.logger import library, numbers, settings_of


class WandbLogger(Callback):
    """Sends metrics to Weights & Biases, as its own variables say: ``WANDB_MODE=offline``, ...

    The run has the name of its folder, the project is ``$WANDB_PROJECT``, by default
    ``pyro-textvae``, and a resumed run goes on with the same one.

    :raises UserError: without the package wandb, of the extra ``wandb``.
    """

    def __init__(self) -> None:
        self._library = library("wandb", "wandb")
        self._run: Any = None

    def on_train_begin(self, trainer: Trained) -> None:
        """Begin or resume a run there."""
        path = trainer.path.absolute()
        self._run = self._library.init(
            project=os.environ.get("WANDB_PROJECT", "pyro-textvae"),
            name=path.name,
            id=hashlib.sha256(str(path).encode()).hexdigest()[:16],
            resume="allow",
            dir=str(path),
            config=settings_of(trainer),
        )

    def on_log(self, trainer: Trained, metrics: Mapping[str, Any]) -> None:
        """Send the numbers of some steps."""
        self._run.log(numbers(metrics), step=metrics["step"])

    def on_epoch_end(self, trainer: Trained, metrics: Mapping[str, Any]) -> None:
        """Send the numbers of an epoch."""
        self.on_log(trainer, metrics)

    def on_train_end(self, trainer: Trained) -> None:
        """Finish the run there."""
        if self._run is not None:
            self._run.finish()
