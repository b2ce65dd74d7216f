# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The trainer, its checkpoints and its run folder."""

from pyro_textvae.training.run_folder import RunFolder
from pyro_textvae.training.trainer import Progress, Trainer, TrainingError, batch_limits

__all__ = ["Progress", "RunFolder", "Trainer", "TrainingError", "batch_limits"]
