# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The lines of a metrics file, and the running means that go into them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.run_folder.files import named_failures, not_through_links


class MetricsFile:
    """A file of one JSON object a line that a resumed run cuts back to its checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, **values: Any) -> None:
        """Add a line.

        :raises UserError: where the disk is full or does not let itself be written.
        """
        with (
            named_failures(self.path),
            open(self.path, "a", encoding="utf-8", opener=not_through_links) as file,
        ):
            file.write(json.dumps(values) + "\n")

    def state_dict(self) -> dict[str, Any]:
        """The bytes so far."""
        return {"size": self.path.stat().st_size if self.path.exists() else 0}

    def check(self, state: dict[str, Any]) -> None:
        """Refuse a file that does not begin with the lines that ``state_dict`` counted.

        :raises UserError: when it is missing, too short, or its bytes are not whole lines of text.
        """
        size = state["size"]
        lines = b""
        if self.path.is_symlink():
            # What it leads to would be cut and added to, and is not the run's.
            raise UserError(f"{self.path} is a link: put the file itself there")
        if self.path.is_file():
            with open(self.path, "rb") as file:
                lines = file.read(size)
        if len(lines) < size:
            reason = f"it holds {len(lines):,} of the {size:,} bytes that the checkpoint counts"
        elif b"\0" in lines:
            reason = "it holds NUL bytes"
        elif size and not lines.endswith(b"\n"):
            reason = f"no line ends after the {size:,} bytes that the checkpoint counts"
        else:
            return
        raise UserError(
            f"{self.path} is damaged ({reason}): put the run's own back, or train again with "
            "--overwrite"
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Forget the lines that were written after ``state_dict`` was asked for.

        :raises UserError: as :meth:`check`; nothing is cut then.
        """
        self.check(state)
        self.path.touch()
        os.truncate(self.path, state["size"])


class UnwrittenMetrics(MetricsFile):
    """The lines that another process writes."""

    def append(self, **values: Any) -> None:
        """Write nothing."""

    def check(self, state: dict[str, Any]) -> None:
        """Leave it to the process that writes them."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Leave them as they are."""


class RunningMean:
    """Means over sentences of named quantities; its state is a plain dict of floats.

    Sums may be tensors of no dimension: they are added where they are, and read when asked for.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float | Tensor] = {}
        self.count = 0.0

    def add(self, count: int, **sums: float | Tensor) -> None:
        """Take in the sums over ``count`` sentences."""
        self.count += count
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """The means so far."""
        return {name: float(value) / self.count for name, value in self.sums.items()}

    def clear(self) -> None:
        """Start again from nothing."""
        self.sums = {}
        self.count = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"sums": {n: float(value) for n, value in self.sums.items()}, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state_dict`` was asked for."""
        self.sums = dict(state["sums"])
        self.count = state["count"]
