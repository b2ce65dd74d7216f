# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The folder that keeps encoded corpora, and what else is made once."""

import os
from pathlib import Path

from pyro_textvae.errors import UserError


def default_cache_dir() -> Path:
    """``$PYRO_TEXTVAE_CACHE``, else the user's cache folder by the XDG rules."""
    named = os.environ.get("PYRO_TEXTVAE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if named:
            return Path(named).expanduser()
        return (Path(base) if base else Path("~/.cache").expanduser()) / "pyro-textvae"
    except RuntimeError as error:
        raise UserError(
            f"no folder for encoded corpora: {error}; set PYRO_TEXTVAE_CACHE to a full path"
        ) from None
