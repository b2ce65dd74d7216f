# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae train``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyro_textvae.cli.parsing import as_mapping, parse
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError


@dataclass
class TrainOptions(TrainConfig):
    """Train a model and guide on a corpus into a run folder.

    Args:
        out: folder of the run; by default runs/DATA-MODEL.
        overwrite: replace the run that is already there.
        resume: go on with this run instead; only epochs and device may change.
        log: where metrics go besides metrics.jsonl; csv, tensorboard, wandb, mlflow, or several
            with commas between them.
        trust_code: execute code of your own that a run of somebody else names; see SECURITY.md.

    """

    out: str | None = None
    overwrite: bool = False
    resume: str | None = None
    log: str | None = None
    trust_code: bool = False


def main(arguments: Sequence[str]) -> None:
    """Train, or go on with, a run."""
    if os.environ.get("WORLD_SIZE") in (None, "", "1"):
        _train(*parse(TrainOptions, "train", arguments))
        return
    from pyro_textvae.processes import joined_processes, one_error_line, together

    with joined_processes(), one_error_line():
        with together():
            parsed = parse(TrainOptions, "train", arguments)
        _train(*parsed)


def _train(options: TrainOptions, given: set[str]) -> None:
    from pyro_textvae import runs
    from pyro_textvae.data.standard_input import STANDARD_INPUT, kept_standard_input
    from pyro_textvae.processes import rank_and_size
    from pyro_textvae.runs.several_processes import (
        goes_on_after_restart,
        was_left_without_settings,
    )
    from pyro_textvae.training.logger import callbacks_of

    callbacks = callbacks_of(options.log)
    if options.resume is not None:
        kept = sorted(given - {"resume", "epochs", "device", "trust_code", "log"})
        if kept:
            raise UserError(
                f"train --resume takes its settings from the run, so {kept[0]} cannot be given: "
                "only --epochs and --device can"
            )
        progress = runs.resume(
            options.resume,
            epochs=options.epochs if "epochs" in given else None,
            device=options.device if "device" in given else None,
            trust_code=options.trust_code,
            callbacks=callbacks,
        )
        out = options.resume
    else:
        if options.data == STANDARD_INPUT:
            if rank_and_size()[1] > 1:
                raise UserError(
                    "several processes cannot read one standard input: write the text to a file "
                    "and give --data its name"
                )
            # A run names its text by a file, to be read again when it is evaluated.
            options.data = kept_standard_input()
        values = as_mapping(options)
        out = values.pop("out") or _default_folder(options)
        overwrite = values.pop("overwrite")
        del values["resume"], values["log"]
        if values.pop("trust_code"):
            raise UserError("--trust-code is for --resume of somebody else's run: leave it out")
        if goes_on_after_restart(out):
            progress = runs.resume(out, callbacks=callbacks, trust_code=True)
        else:
            overwrite = overwrite or was_left_without_settings(out)
            config = TrainConfig(**values)
            progress = runs.train(config, out, overwrite=overwrite, callbacks=callbacks)
    rank, _ = rank_and_size()
    if rank > 0:
        return
    print(
        f"{out}: {progress.epoch} epochs, best validation bound {progress.best_bound:.3f} nats per "
        f"sentence; next: pyro-textvae evaluate {out}"
    )


def _default_folder(options: TrainOptions) -> str:
    path = Path(options.data)
    data = (path if path.name not in ("", "..") else path.resolve()).name.replace(":", "-")
    model = options.model.rpartition(":")[2] or options.model
    return f"runs/{Path(data).stem}-{Path(model).stem}"
