# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Numbers about a trained pair: likelihood, information, units."""

from pyro_textvae.evaluation.comparison import Comparison, compare
from pyro_textvae.evaluation.gradient_signal import GradientSignal, gradient_signal
from pyro_textvae.evaluation.importance.result import LogLikelihood
from pyro_textvae.evaluation.information import Information, information
from pyro_textvae.evaluation.likelihood import log_likelihood

__all__ = [
    "Comparison",
    "GradientSignal",
    "Information",
    "LogLikelihood",
    "compare",
    "gradient_signal",
    "information",
    "log_likelihood",
]
