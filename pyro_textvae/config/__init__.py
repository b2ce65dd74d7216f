# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every setting, with its default."""

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig, TrainingConfig

__all__ = ["EvaluationConfig", "TrainConfig", "TrainingConfig"]
