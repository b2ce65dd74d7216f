# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a run's folder holds of its training and its evaluation."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.report.blocks import Note
from pyro_textvae.run_folder import RunFolder, paths_of_runs
from pyro_textvae.run_folder.damage import is_epoch
from pyro_textvae.run_folder.evaluated_run import (
    EvaluationError,
    doubt_about_weights,
    evaluate_command,
    read_evaluation,
    read_sentences,
)


@dataclass(frozen=True)
class RunRecord:
    """The files of one run, read once; where one is missing or damaged, a note says so.

    :param name: the shortest end of the path that tells the run from the others of the report.
    :param number: its place in the report, from 1.
    :param epochs: the lines of metrics.jsonl that stand for a whole epoch.
    :param evaluation_note: why there is no evaluation; None where there is one.
    :param sentences: the columns of evaluation.sentences.jsonl, shapes ``(num_sentences,)``.
    :param sentences_note: why there are none; None where there are.
    :param weights_doubt: why the evaluation may be of other weights than the run has now.
    """

    path: Path
    name: str
    number: int
    config: dict[str, Any]
    epochs: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    evaluation_note: Note | None
    sentences: dict[str, Tensor] | None
    sentences_note: Note | None
    weights_doubt: str | None = None

    @property
    def has_latent(self) -> bool:
        """Whether the model has a latent, as far as the evaluation knows."""
        return self.evaluation is None or self.evaluation.get("latent_dim") != 0

    def lacks(self, what: str, flags: str = "") -> Note:
        """Why there is no ``what`` in the evaluation, and the command that fills it in.

        :param flags: without which that command would leave it out.
        """
        if self.evaluation_note is not None:
            return self.evaluation_note
        if not self.has_latent:
            return Note(f"{self.name} has no latent, so there is no {what}.", "missing")
        command = f"{evaluate_command(self.path, self.evaluation)} {flags}".rstrip()
        return Note(f"The evaluation of {self.name} holds no {what}.", "missing", command)


def read_runs(paths: Sequence[str | Path]) -> list[RunRecord]:
    """Read the folders of the runs, in this order.

    :raises UserError: when one is no run, or is given twice, or there is none.
    """
    folders = paths_of_runs(paths)
    if not folders:
        raise UserError("report needs a run folder: pyro-textvae report RUN [RUN ...]")
    places = [Path(os.path.realpath(folder)) for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"the run {folder} is given twice: give every run once")
    named = zip(folders, _short_names(places), strict=True)
    return [_read_run(path, name, number) for number, (path, name) in enumerate(named, 1)]


def _read_run(path: Path, name: str, number: int) -> RunRecord:
    folder = RunFolder(path)
    config = folder.read_config()
    evaluation, evaluation_note = _read_evaluation(folder, name)
    sentences, sentences_note, doubt = None, evaluation_note, None
    if evaluation is not None:
        sentences, sentences_note = _read_sentences(folder, evaluation)
        doubt = doubt_about_weights(folder, evaluation)
    return RunRecord(
        path=path,
        name=name,
        number=number,
        config=config,
        epochs=_read_epochs(folder),
        evaluation=evaluation,
        evaluation_note=evaluation_note,
        sentences=sentences,
        sentences_note=sentences_note,
        weights_doubt=doubt,
    )


def _read_epochs(folder: RunFolder) -> list[dict[str, Any]]:
    if not folder.metrics.is_file():
        return []
    rows = []
    for line in folder.metrics.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            # A run that is still training, or was killed, may have written half a line.
            break
        if is_epoch(row):
            rows.append(row)
    return rows


def _read_evaluation(folder: RunFolder, name: str) -> tuple[dict[str, Any] | None, Note | None]:
    try:
        evaluation = read_evaluation(folder.path)
    except EvaluationError as error:
        return None, _note(error, error.command)
    if isinstance(evaluation.get("nll"), float) or evaluation.get("nll_joint") is not None:
        return evaluation, None
    reasons = "; ".join(map(str, evaluation.get("warnings") or ()))
    text = f"The evaluation of {name} has no finite nll{reasons and f' ({reasons})'}."
    return None, Note(text, "missing", evaluate_command(folder.path))


def _read_sentences(
    folder: RunFolder, evaluation: dict[str, Any]
) -> tuple[dict[str, Tensor] | None, Note | None]:
    try:
        return read_sentences(folder.path, evaluation), None
    except EvaluationError as error:
        return None, _note(error, evaluate_command(folder.path, evaluation))


def _note(error: EvaluationError, command: str) -> Note:
    # A reason may begin with a path, which keeps its letters.
    reason = error.reason
    text = f"The {reason.removeprefix('the ')}" if reason.startswith("the ") else reason
    return Note(f"{text}.", "missing", command)


def _short_names(places: Sequence[Path]) -> list[str]:
    """Ends of the paths, just long enough to differ."""
    longest = max(len(place.parts) for place in places)
    for size in range(1, longest):
        names = [Path(*place.parts[-size:]).as_posix() for place in places]
        if len(set(names)) == len(names):
            return names
    return [place.as_posix() for place in places]
