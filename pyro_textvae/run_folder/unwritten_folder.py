# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A run that another process writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from pyro_textvae.processes import rank_and_size
from pyro_textvae.run_folder.folder import RunFolder


class UnwrittenFolder(RunFolder):
    """Reads what the first process writes, and writes nothing itself.

    >>> UnwrittenFolder("runs/ptb").is_written
    False
    """

    is_written = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Nothing is kept from others."""
        yield

    def write_config(self, settings: dict[str, Any], built: dict[str, Any]) -> None:
        """Written by the first process."""

    def save_weights(self, modules: nn.Module) -> None:
        """Written by the first process."""

    def save_state(self, state: dict[str, Any]) -> None:
        """Written by the first process."""

    def write_progress(self, progress: Mapping[str, Any]) -> None:
        """Written by the first process."""


def folder_of_process(path: str | Path) -> RunFolder:
    """The folder of a run, which the first of several processes alone writes."""
    rank, _ = rank_and_size()
    return RunFolder(path) if rank == 0 else UnwrittenFolder(path)
