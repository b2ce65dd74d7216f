# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``--log mlflow``: an MLflow tracking server, or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_textvae.errors import UserError
from pyro_textvae.training.callback import Callback, Trained
from pyro_textvae.training.logger import library, numbers, settings_of


class MLflowLogger(Callback):
    """Sends settings and metrics to MLflow, as its own variables say: ``MLFLOW_TRACKING_URI``, ...

    Each training, and each resumption of one, is a run there with the name of its folder.

    :raises UserError: without the package mlflow, of the extra ``mlflow``; in training, where it
        refuses the place that it would write to.
    """

    def __init__(self) -> None:
        self._library = library("mlflow", "mlflow")
        self._is_open = False

    def on_train_begin(self, trainer: Trained) -> None:
        """Begin a run there."""
        try:
            self._library.start_run(run_name=trainer.path.absolute().name)
        except self._library.MlflowException as error:
            raise UserError(
                f"mlflow begins no run, and says: {error}; MLFLOW_TRACKING_URI is where it writes"
            ) from error
        self._is_open = True
        self._library.log_params(settings_of(trainer))

    def on_log(self, trainer: Trained, metrics: Mapping[str, Any]) -> None:
        """Send the numbers of some steps."""
        self._library.log_metrics(numbers(metrics), step=metrics["step"])

    def on_epoch_end(self, trainer: Trained, metrics: Mapping[str, Any]) -> None:
        """Send the numbers of an epoch."""
        self.on_log(trainer, metrics)

    def on_train_end(self, trainer: Trained) -> None:
        """End the run there."""
        if self._is_open:
            self._library.end_run()
