# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs as a whole: train, load, evaluate, compare."""

from pyro_textvae.runs.compare import compare_runs
from pyro_textvae.runs.evaluate import evaluate
from pyro_textvae.runs.load import load_run, load_run_corpus
from pyro_textvae.runs.save import save_run
from pyro_textvae.runs.train import resume, train

__all__ = [
    "compare_runs",
    "evaluate",
    "load_run",
    "load_run_corpus",
    "resume",
    "save_run",
    "train",
]
