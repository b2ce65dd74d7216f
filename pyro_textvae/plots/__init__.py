# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The figures of a report one by one, each a ``matplotlib`` figure of a run."""

from pyro_textvae.plots.figures import (
    annealing_check,
    dimensions,
    khat,
    latent_space,
    nll_by_draws,
    nll_by_length,
    training_curves,
)

__all__ = [
    "annealing_check",
    "dimensions",
    "khat",
    "latent_space",
    "nll_by_draws",
    "nll_by_length",
    "training_curves",
]
