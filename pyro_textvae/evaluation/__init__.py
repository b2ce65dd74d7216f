# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Numbers about a trained pair: likelihood, information, units."""

from pyro_textvae.evaluation.information import Information, information
from pyro_textvae.evaluation.likelihood import LogLikelihood, log_likelihood

__all__ = ["Information", "LogLikelihood", "information", "log_likelihood"]
