# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The last evaluation of a run, read back and checked: the one reader of its two files."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import quantities
from pyro_textvae.run_folder.damage import damaged_name
from pyro_textvae.run_folder.folder import RunFolder
from pyro_textvae.run_folder.quantities import with_current_names
from pyro_textvae.run_folder.quantity import stored
from pyro_textvae.run_folder.sentence_table import read_sentence_table, sentence_table_path
from pyro_textvae.run_folder.weights_hash import weights_hash

SAME = ("units", "corpus_fingerprint", "split", "num_sentences", "num_tokens")
"""What two evaluations must have in common for their sentences to be compared."""

_COUNTS = ("num_tokens", "num_samples")
_COLUMNS = ("log_px", "standard_error", *_COUNTS)


@dataclass(frozen=True)
class EvaluatedRun:
    """The last evaluation of a run.

    :param name: the path of the run, as it was given.
    :param evaluation: what ``evaluation.json`` holds, in the units of docs/numbers.md.
    :param columns: what its table holds of every sentence, ``(num_sentences,)``; nats.
    :param doubt: why it may be of other weights than the run has now; None where it is not.
    """

    name: str
    evaluation: dict[str, Any]
    columns: dict[str, Tensor]
    doubt: str | None = None

    @cached_property
    def log_px(self) -> Tensor:
        """Log-likelihood of each sentence, ``(num_sentences,)``; nats."""
        return self.columns["log_px"]

    @cached_property
    def standard_error(self) -> Tensor:
        """Monte Carlo standard error of ``log_px``, ``(num_sentences,)``; nats."""
        return self.columns["standard_error"]

    @property
    def shared_error(self) -> float:
        """Standard error of the mean of ``log_px`` by draws that all sentences share; nats."""
        return (self.evaluation.get("global_latents") or {}).get("nll_global_error") or 0.0

    @cached_property
    def num_tokens_per_sentence(self) -> Tensor:
        """Number of tokens of each sentence, ``(num_sentences,)``, ``<eos>`` counted."""
        return self.columns["num_tokens"]

    @cached_property
    def settled(self) -> Tensor | None:
        """Whether each sentence's own evidence says that ``log_px`` is right; None if unknown."""
        settled = self.columns.get("settled")
        return None if settled is None else settled == 1

    @cached_property
    def bias(self) -> Tensor | None:
        """By how much ``log_px`` may be too low, ``(num_sentences,)`` nats; None if unknown."""
        return self.columns.get("bias")

    @property
    def joint(self) -> EvaluatedRun | None:
        """The same of text and label together; None where no label was summed out."""
        if "log_joint" not in self.columns:
            return None
        columns = {name: self.columns[name] for name in ("num_tokens", "num_samples")}
        columns["log_px"] = self.columns["log_joint"]
        columns["standard_error"] = self.columns["log_joint_standard_error"]
        return replace(self, columns=columns)

    @cached_property
    def log_px_by_guide(self) -> Tensor | None:
        """The estimate by the guide's weights, NaN where there is none; None without any."""
        return self.columns.get("log_px_by_guide")


class EvaluationError(UserError):
    """An evaluation that is missing, damaged or of other weights than the run has now.

    :param reason: what is wrong, without a full stop.
    :param command: what to run to put it right.
    :param joined_by: what stands between them in the message.
    """

    def __init__(self, reason: str, command: str, joined_by: str = ": ") -> None:
        super().__init__(f"{reason}{joined_by}{command}")
        self.reason = reason
        self.command = command


def read_evaluated_run(path: str | Path | RunFolder) -> EvaluatedRun:
    """The last evaluation of a run and the numbers of its sentences, fit to be compared.

    :raises EvaluationError: when the run is not evaluated, its files are damaged or of an earlier
        version that kept less, or the run has other weights now.
    :raises UserError: when ``path`` is no run.
    """
    evaluation = read_evaluation(path)
    file = RunFolder.of(path).evaluation
    table = sentence_table_path(file)
    command = evaluate_command(path)
    if "evaluation_id" not in evaluation or not table.is_file():
        raise EvaluationError(f"the evaluation of {path} {_NO_SENTENCES}", command)
    later = {each.name for each in quantities.compared() if each.added_later}
    for name in (*SAME, *compared_names()):
        if name in later:
            evaluation.setdefault(name, None)
        if name not in evaluation:
            raise EvaluationError(f"{file} is damaged (it has no {name})", command)
    for name, types in _types().items():
        if type(evaluation[name]) not in types:
            raise EvaluationError(f"{file} is damaged ({name} is {evaluation[name]!r})", command)
    columns = read_sentences(path, evaluation)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise EvaluationError(f"{table} is damaged (it has no column {missing[0]})", command)
    for name in _COUNTS:
        if columns[name].is_floating_point():
            raise EvaluationError(f"{table} is damaged ({name} is not a count throughout)", command)
    tokens = columns["num_tokens"]
    for name, counted in (("num_sentences", len(tokens)), ("num_tokens", int(tokens.sum()))):
        if counted != evaluation[name]:
            raise EvaluationError(
                f"{table} is damaged (its {name} is {counted}, {file.name} has {evaluation[name]})",
                command,
            )
    return EvaluatedRun(str(path), evaluation, columns, doubt_about_weights(path, evaluation))


def read_evaluation(path: str | Path | RunFolder) -> dict[str, Any]:
    """What ``evaluation.json`` of a run holds, with the keys of today.

    :raises UserError: when ``path`` is no run.
    :raises EvaluationError: when the run is not evaluated, the file is damaged, or it is of other
        weights than the run has now.
    """
    folder = RunFolder.of(path)
    command = evaluate_command(path)
    if not folder.evaluation.is_file():
        folder.read_config()
        raise EvaluationError(f"{path} has not been evaluated", command)
    try:
        evaluation = json.loads(folder.evaluation.read_bytes())
    except ValueError as error:
        raise EvaluationError(f"{folder.evaluation} is damaged (not JSON)", command) from error
    if not isinstance(evaluation, dict):
        raise EvaluationError(f"{folder.evaluation} is damaged (not a JSON object)", command)
    evaluation = with_current_names(evaluation)
    damaged = damaged_name(evaluation)
    if damaged is not None:
        value = stored(evaluation, damaged)
        raise EvaluationError(f"{folder.evaluation} is damaged ({damaged} is {value!r})", command)
    scored, present = evaluation.get("weights_sha256"), weights_hash(folder)
    if scored is not None and present is not None and scored != present:
        raise EvaluationError(
            f"the evaluation of {path} is of other weights than the run has now, which was trained "
            "further or again",
            evaluate_command(path, evaluation),
        )
    return evaluation


def doubt_about_weights(path: str | Path | RunFolder, evaluation: Mapping[str, Any]) -> str | None:
    """Why an evaluation of an earlier version may be of other weights than the run has now.

    It has no hash of them. Times of files, which copying may change, are no proof.

    :returns: None where nothing speaks for it.
    """
    folder = RunFolder.of(path)
    if evaluation.get("weights_sha256") is not None or not folder.weights.is_file():
        return None
    if folder.weights.stat().st_mtime_ns <= folder.evaluation.stat().st_mtime_ns:
        return None
    return (
        f"{folder.weights.name} is newer than the evaluation, which does not say what weights it "
        "is of: if the run was trained since, evaluate it again"
    )


def read_sentences(
    path: str | Path | RunFolder, evaluation: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The numbers of single sentences that belong to an evaluation of a run.

    :returns: columns by name, ``(num_sentences,)``.
    :raises EvaluationError: when there are none, or they are damaged or of another evaluation.
    """
    folder = RunFolder.of(path)
    table = sentence_table_path(folder.evaluation)
    command = evaluate_command(path)
    if not table.is_file():
        raise EvaluationError(f"the evaluation of {path} {_NO_SENTENCES}", command)
    try:
        evaluation_id, columns = read_sentence_table(table)
    except UserError as error:
        raise EvaluationError(str(error), command, ", ") from error
    if evaluation_id != evaluation.get("evaluation_id"):
        reason = f"{table} belongs to another evaluation than {folder.evaluation}"
        raise EvaluationError(reason, command)
    return columns


_NO_SENTENCES = "kept no numbers of single sentences"


def compared_names() -> list[str]:
    """Keys of an evaluation that a comparison goes by, its numbers among them."""
    numbers = []
    for each in quantities.compared():
        numbers += [each.name, each.error] if each.error else [each.name]
    facts, trust = ("model", "guide", "data"), ("exact", "heavy_tail_share", "warnings")
    return [*facts, *numbers, *trust, "seed", "evaluation_id"]


def _types() -> dict[str, tuple[type, ...]]:
    wanted = compared_names()
    types = {each.name: each.types for each in quantities.QUANTITIES if each.name in wanted}
    return {**types, "warnings": (list,)}


def evaluate_command(
    path: str | Path | RunFolder, evaluation: Mapping[str, Any] | None = None
) -> str:
    """The command that evaluates a run.

    :param evaluation: the last one, whose split is kept, and whose draws are at least 1000 then.

    >>> evaluate_command("runs/a b")
    "pyro-textvae evaluate 'runs/a b'"
    >>> evaluate_command("runs/a", {"split": "valid", "num_samples": 100})
    'pyro-textvae evaluate runs/a --split valid --num-samples 1000'
    """
    command = f"pyro-textvae evaluate {shlex.quote(str(path))}"
    if evaluation is None:
        return command
    if evaluation.get("split", "test") != "test":
        command += f" --split {evaluation['split']}"
    return f"{command} --num-samples {max(1000, evaluation.get('num_samples') or 0)}"
