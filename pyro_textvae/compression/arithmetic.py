# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What decides the floats of a network, apart from its weights and the shape of its input."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import numpy as np
import torch

from pyro_textvae.errors import UserError

EXTRA = "pip install 'pyro-textvae[compress]'"


def arithmetic() -> dict[str, str]:
    """Versions and capability of the processor that give the same sums.

    >>> sorted(arithmetic())
    ['constriction', 'numpy', 'processor', 'torch']
    """
    constriction, _ = libraries()
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "constriction": _version(constriction),
        "processor": torch.backends.cpu.get_cpu_capability(),
    }


def differences(there: dict[str, str]) -> list[str]:
    """In what the arithmetic of an archive differs from that here."""
    here = arithmetic()
    return [
        f"{name} {there.get(name)} there, {value} here"
        for name, value in here.items()
        if there.get(name) != value
    ]


def libraries() -> tuple[ModuleType, ModuleType]:
    """constriction and zstandard.

    :raises UserError: where they are not installed.
    """
    try:
        import constriction
        import zstandard
    except ImportError as error:
        raise UserError(f"compression needs the package {error.name}: {EXTRA}") from error
    return constriction, zstandard


def _version(module: ModuleType) -> str:
    try:
        return version(module.__name__)
    except PackageNotFoundError:
        return "unknown"
