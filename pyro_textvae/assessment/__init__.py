# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How good the text is that a run writes: numbers, intervals, and real text beside."""

from pyro_textvae.assessment import metrics
from pyro_textvae.assessment.assess import assess
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric, build_metric
from pyro_textvae.assessment.metrics import *  # noqa: F403
from pyro_textvae.assessment.number import Number

# A new metric is exported by its line in the folder below.
__all__ = [*metrics.__all__, "Material", "Metric", "Number", "assess", "build_metric"]
