# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the last evaluation of a run found, read back and checked."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.sentence_table import read_sentence_table, sentence_table_path

COPIED = (
    "model",
    "guide",
    "data",
    "nll",
    "nll_standard_error",
    "elbo",
    "kl",
    "ppl",
    "num_samples",
    "proposal",
    "exact",
    "khat_above_0_7",
    "warnings",
    "seed",
    "evaluation_id",
)


SAME = ("units", "corpus_fingerprint", "split", "num_sentences", "num_tokens")


_NUMBER = (int, float, type(None))


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("nll", "nll_standard_error", "elbo", "kl", "ppl", "khat_above_0_7"), _NUMBER),
    "exact": (bool,),
    "warnings": (list,),
}


_COUNTS = ("num_tokens", "num_samples")


_COLUMNS = ("log_px", "standard_error", *_COUNTS)


@dataclass(frozen=True)
class EvaluatedRun:
    """What the last evaluation of a run found; columns ``(num_sentences,)``, nats."""

    name: str
    evaluation: dict[str, Any]
    columns: dict[str, Tensor]

    @cached_property
    def log_px(self) -> Tensor:
        """Log-likelihood of each sentence."""
        return self.columns["log_px"]

    @cached_property
    def standard_error(self) -> Tensor:
        """Monte Carlo standard error of ``log_px``."""
        return self.columns["standard_error"]

    @cached_property
    def num_tokens_per_sentence(self) -> Tensor:
        """Number of tokens of each sentence."""
        return self.columns["num_tokens"]


def read_evaluated_run(path: Path) -> EvaluatedRun:
    """What the last evaluation of a run found, and the numbers of its sentences.

    :raises UserError: when the run is not evaluated, or its files are damaged.
    """
    folder = RunFolder(path)
    mend = evaluate_command(path)
    if not folder.evaluation.is_file():
        folder.read_config()
        raise UserError(f"{path} has not been evaluated: {mend}")
    evaluation = _read_evaluation(folder.evaluation, mend)
    table = sentence_table_path(folder.evaluation)
    if "evaluation_id" not in evaluation or not table.is_file():
        raise UserError(f"the evaluation of {path} kept no numbers of single sentences: {mend}")
    for name in (*SAME, *COPIED):
        if name not in evaluation:
            raise UserError(f"{folder.evaluation} is damaged (it has no {name}): {mend}")
    for name, kinds in _KINDS.items():
        if type(evaluation[name]) not in kinds:
            raise UserError(
                f"{folder.evaluation} is damaged ({name} is {evaluation[name]!r}): {mend}"
            )
    try:
        evaluation_id, columns = read_sentence_table(table)
    except UserError as error:
        raise UserError(f"{error}, {mend}") from error
    if evaluation_id != evaluation["evaluation_id"]:
        raise UserError(f"{table} belongs to another evaluation than {folder.evaluation}: {mend}")
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise UserError(f"{table} is damaged (it has no column {missing[0]}): {mend}")
    for name in _COUNTS:
        if columns[name].is_floating_point():
            raise UserError(f"{table} is damaged ({name} is not a count throughout): {mend}")
    tokens = columns["num_tokens"]
    for name, counted in (("num_sentences", len(tokens)), ("num_tokens", int(tokens.sum()))):
        if counted != evaluation[name]:
            raise UserError(
                f"{table} is damaged (its {name} is {counted}, {folder.evaluation.name} has "
                f"{evaluation[name]}): {mend}"
            )
    return EvaluatedRun(str(path), evaluation, columns)


def _read_evaluation(path: Path, mend: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} is damaged (not JSON): {mend}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} is damaged (not a JSON object): {mend}")
    return found


def evaluate_command(path: str | Path) -> str:
    """The command that evaluates a run."""
    return f"pyro-textvae evaluate {shlex.quote(str(path))}"
