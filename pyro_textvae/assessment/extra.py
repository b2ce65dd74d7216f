# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Packages of the extra ``[eval]``, imported when a metric needs them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from typing import Any

from pyro_textvae.errors import UserError


def require(packages: Iterable[str]) -> None:
    """Refuse to begin without a package.

    >>> require(["json"])

    :raises UserError: with those that are missing, and how to install them.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"these metrics need {', '.join(missing)}, not installed here: pip install "
            "'pyro-textvae[eval]'"
        )


def package(name: str) -> Any:
    """A package, or a module of one, that may be missing.

    :raises UserError: as :func:`require`.
    """
    require([name.partition(".")[0]])
    return importlib.import_module(name)
