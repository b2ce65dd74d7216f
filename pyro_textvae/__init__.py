# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Text VAEs as Pyro programs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_textvae.data import load_corpus
    from pyro_textvae.estimator import TextVAE
    from pyro_textvae.runs.load import load_run
    from pyro_textvae.runs.save import save_run

__version__ = "0.1.0"

__all__ = ["TextVAE", "load_corpus", "load_run", "save_run"]

_MODULES = {
    "TextVAE": "pyro_textvae.estimator",
    "load_corpus": "pyro_textvae.data",
    "load_run": "pyro_textvae.runs.load",
    "save_run": "pyro_textvae.runs.save",
}

_ROOMS = (
    *("assessment", "compression", "conditional_priors", "data", "distributions", "evaluation"),
    *("generation", "grid", "guides", "infer", "models", "nn", "plots", "priors", "testing"),
    "training",
)
"""Packages that programs use, imported when they are asked for."""


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import, and ``pyro-textvae --help`` should not.
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"pyro_textvae.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS, "__version__"])
