# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the metrics of a training go besides metrics.jsonl, one a file."""

from pyro_textvae.training.loggers.csv import CSVLogger
from pyro_textvae.training.loggers.mlflow import MLflowLogger
from pyro_textvae.training.loggers.tensorboard import TensorBoardLogger
from pyro_textvae.training.loggers.wandb import WandbLogger

__all__ = ["CSVLogger", "MLflowLogger", "TensorBoardLogger", "WandbLogger"]
