# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``--log csv``: a table of the epochs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from pyro_textvae.run_folder.files import write_text
from pyro_textvae.run_folder.folder import RunFolder
from pyro_textvae.training.callback import Callback, Trained


class CSVLogger(Callback):
    """Keeps ``metrics.csv`` in the run: a row for each epoch, for a spreadsheet or pandas.

    It is written anew from metrics.jsonl after each epoch, so that a resumed run has each epoch
    once.
    """

    def on_epoch_end(self, trainer: Trained, metrics: Mapping[str, Any]) -> None:
        """Write the table."""
        lines = RunFolder(trainer.path).metrics.read_text(encoding="utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if row["kind"] == "epoch"]
        columns = list(dict.fromkeys(name for row in rows for name in row if name != "kind"))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(trainer.path / "metrics.csv", table.getvalue())
