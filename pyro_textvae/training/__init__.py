# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The trainer, its procedures, its checkpoints and its run folder."""

from pyro_textvae.run_folder.folder import RunFolder
from pyro_textvae.training.breakdown import TrainingError
from pyro_textvae.training.callback import Callback
from pyro_textvae.training.procedure import Procedure, Training
from pyro_textvae.training.progress import Progress
from pyro_textvae.training.trainer import Trainer
from pyro_textvae.training.validation import Validation

__all__ = [
    "Callback",
    "Procedure",
    "Progress",
    "RunFolder",
    "Trainer",
    "Training",
    "TrainingError",
    "Validation",
]
