# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Text VAEs as Pyro programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_textvae.data import load_corpus
    from pyro_textvae.runs.load import load_run
    from pyro_textvae.runs.save import save_run

__version__ = "0.1.0"

__all__ = ["load_corpus", "load_run", "save_run"]


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import, and ``pyro-textvae --help`` should not.
    if name == "load_corpus":
        from pyro_textvae.data import load_corpus

        return load_corpus
    if name == "load_run":
        from pyro_textvae.runs.load import load_run

        return load_run
    if name == "save_run":
        from pyro_textvae.runs.save import save_run

        return save_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
