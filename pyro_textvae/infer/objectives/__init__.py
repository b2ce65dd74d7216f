# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Objectives, one a file; each a ``pyro.infer.ELBO``."""

from pyro_textvae.infer.objectives.beta_elbo import BetaELBO
from pyro_textvae.infer.objectives.ciwae import CIWAE
from pyro_textvae.infer.objectives.dreg import DReG
from pyro_textvae.infer.objectives.iwae import IWAE
from pyro_textvae.infer.objectives.miwae import MIWAE
from pyro_textvae.infer.objectives.piwae import PIWAE
from pyro_textvae.infer.objectives.renyi_iwae import RenyiIWAE
from pyro_textvae.infer.objectives.semi_amortised_elbo import SemiAmortisedELBO
from pyro_textvae.infer.objectives.stl import STL
from pyro_textvae.infer.objectives.thermodynamic_elbo import ThermodynamicELBO
from pyro_textvae.infer.objectives.vimco import VIMCO
from pyro_textvae.infer.objectives.wake_sleep import WakeSleep

__all__ = [
    "BetaELBO",
    "CIWAE",
    "DReG",
    "IWAE",
    "MIWAE",
    "PIWAE",
    "RenyiIWAE",
    "STL",
    "SemiAmortisedELBO",
    "ThermodynamicELBO",
    "VIMCO",
    "WakeSleep",
]
