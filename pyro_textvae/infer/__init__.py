# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Objectives computed sentence by sentence, and the weight of their KL term."""

from pyro_textvae.infer import auxiliaries, constraints, kl_schedules, objectives
from pyro_textvae.infer.auxiliaries import *  # noqa: F403
from pyro_textvae.infer.auxiliary import AuxiliaryLoss, TrainingPass
from pyro_textvae.infer.constraint import KLConstraint
from pyro_textvae.infer.constraints import *  # noqa: F403
from pyro_textvae.infer.function_program import FunctionProgram
from pyro_textvae.infer.given_globals import given_globals
from pyro_textvae.infer.kl_schedule import KLSchedule
from pyro_textvae.infer.kl_schedules import *  # noqa: F403
from pyro_textvae.infer.latent_site import LatentSite
from pyro_textvae.infer.objectives import *  # noqa: F403
from pyro_textvae.infer.per_datum import PerDatumELBO, log_weights
from pyro_textvae.infer.sentence_autoguide import SentenceAutoGuide
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws

# A new member is exported by its line in the folder below.
__all__ = [
    *auxiliaries.__all__,
    *constraints.__all__,
    *kl_schedules.__all__,
    *objectives.__all__,
    "AuxiliaryLoss",
    "Draws",
    "FunctionProgram",
    "KLConstraint",
    "KLSchedule",
    "LatentSite",
    "PerDatumELBO",
    "PerDatumTerms",
    "TrainingPass",
    "SentenceAutoGuide",
    "given_globals",
    "log_weights",
]
