# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One run of a grid, from wherever it was left: trained, evaluated, its gradient measured."""

from __future__ import annotations

import json
import shlex
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyro

from pyro_textvae import runs
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation import gradient_signal
from pyro_textvae.grid.definition import GridRun
from pyro_textvae.run_folder.evaluated_run import read_evaluation
from pyro_textvae.run_folder.files import plain_json, write_json, write_text
from pyro_textvae.runs.build import build
from pyro_textvae.runs.evaluate import partial_of, write_evaluation
from pyro_textvae.runs.load import load_run_corpus, read_run
from pyro_textvae.units import nats_per_text

GRADIENT_SIGNAL = "gradient_signal.json"
_GRADIENT_SEED = 0
Report = Callable[[str], None]


def attempt(
    run: GridRun,
    evaluation: EvaluationConfig,
    gradient_draws: int,
    *,
    overwrite: bool = False,
    report: Report = print,
) -> str | None:
    """Bring a run to its end; where that fails, the reason in one line.

    The traceback of what is no mistake in the settings is kept beside the run's folder.
    """
    log = run.folder.with_name(f"{run.name}.traceback.txt")
    log.unlink(missing_ok=True)
    try:
        train(run, overwrite=overwrite, report=report)
        evaluate(run, evaluation, report=report)
        if gradient_draws:
            measure_gradient(run, gradient_draws, report=report)
    except UserError as error:
        return " ".join(str(error).split())
    except Exception as error:
        log.parent.mkdir(parents=True, exist_ok=True)
        write_text(log, traceback.format_exc())
        return f"{in_one_line(error)} (see {log})"
    return None


@dataclass(frozen=True)
class Standing:
    """What the folder of a run holds before the grid goes on with it.

    :param conflict: the first thing in which it is another run than the grid's, in words; None for
        none. Damaged files are such a thing: the run cannot be gone on with.
    :param progress: where its training stands; None where it has not begun.
    """

    conflict: str | None = None
    progress: Mapping[str, Any] | None = None

    def is_trained(self, config: TrainConfig) -> bool:
        """Whether nothing is left to train."""
        return self.progress is not None and _is_over(self.progress, config)


def standing_of(run: GridRun) -> Standing:
    """What the folder of a run holds; a finished run's checkpoint is not opened."""
    if not run.files.config_json.is_file():
        return Standing()
    try:
        stored = run.files.read_settings().to_dict()
        progress = _progress_of(run)
    except (UserError, KeyError, TypeError) as error:
        return Standing(f"damaged files ({in_one_line(error)})")
    for name, value in run.config.to_dict().items():
        # Another device takes a run no further from its settings than another machine does.
        if name != "device" and stored[name] != value:
            conflict = f"{name} {stored[name]!r}, the grid gives {value!r}"
            return Standing(conflict, progress)
    return Standing(None, progress)


def is_finished(
    run: GridRun, standing: Standing, evaluation: EvaluationConfig, gradient_draws: int
) -> bool:
    """Whether nothing is left to do, with these very settings."""
    if standing.conflict is not None or not standing.is_trained(run.config):
        return False
    if not _is_evaluated(run, evaluation):
        return False
    return gradient_draws == 0 or _is_measured(
        run, _measurement(run, gradient_draws, standing.progress)
    )


def _progress_of(run: GridRun) -> Mapping[str, Any] | None:
    """Where training stands; the checkpoint is asked only where progress.json names no end."""
    progress = run.files.read_progress()
    if progress is not None and _is_over(progress, run.config):
        return progress
    state = run.files.load_state()
    if state is None:
        run.files.check_untrained()
        return None
    return state["progress"]


def _is_over(progress: Mapping[str, Any], config: TrainConfig) -> bool:
    return progress["finished"] or progress["epoch"] >= config.epochs


def train(run: GridRun, *, overwrite: bool, report: Report) -> None:
    """Train the run, or go on with it; ``overwrite`` replaces what its folder holds."""
    if overwrite or not run.files.config_json.is_file():
        runs.train(run.config, run.folder, overwrite=True, report=report)
        return
    progress = _progress_of(run)
    if progress is None or not _is_over(progress, run.config):
        # An evaluation from before is of other weights.
        run.files.evaluation.unlink(missing_ok=True)
        run.files.sentences.unlink(missing_ok=True)
        runs.resume(run.folder, device=run.config.device, report=report)


def evaluate(run: GridRun, config: EvaluationConfig, *, report: Report) -> None:
    """Evaluate the run, unless that was done with the same settings."""
    if _is_evaluated(run, config):
        return
    out = run.files.evaluation
    evaluation = runs.evaluate(run.files, config, partial=partial_of(out))
    flags = [f"--{name.replace('_', '-')}={_flag(v)}" for name, v in _given(config).items()]
    write_evaluation(
        out, evaluation, config, shlex.join(["pyro-textvae", "evaluate", str(run.folder), *flags])
    )
    result = evaluation.result
    name = "nll" if result["nll"] is not None else "nll_joint"
    error = result[f"{name}_standard_error"]
    report(f"{name} {result[name]:.3f} +- {error:.3f} {nats_per_text(result)}")


def measure_gradient(run: GridRun, num_draws: int, *, report: Report) -> None:
    """Write the signal-to-noise ratio of the gradient at the end of training.

    It is of the last weights, not of those of the best bound, under the objective as it stood
    then: with the KL weight, and whatever else it keeps, of the last step.
    """
    what = _measurement(run, num_draws, _progress_of(run))
    if _is_measured(run, what):
        return
    state: Any = run.files.load_state()
    if state is None:
        raise UserError(
            f"{run.folder} has no checkpoint to measure the noise of the gradient at: set "
            "gradient_draws to 0, or train it anew with --overwrite"
        )
    config, stored = run.config, read_run(run.files)
    corpus = load_run_corpus(stored)
    built = build(config, corpus, specs=stored.specs, sizes=stored.sizes)
    built.modules.load_state_dict(state["modules"])
    built.modules.eval()
    objective: Any = built.objective
    if state["objective"] is not None:
        objective.load_state_dict(state["objective"])
    # Evenly spaced over the split, so that its lengths are the text's.
    last = len(corpus.train) - 1
    rows = np.unique(np.linspace(0, last, config.batch_size).round().astype(int))
    with pyro.validation_enabled(False):
        signal = gradient_signal(
            built.model, built.guide, objective, corpus.train.batch(rows), num_draws, _GRADIENT_SEED
        )
    write_json(
        run.folder / GRADIENT_SIGNAL,
        {**what, "num_sentences": len(rows), **plain_json(asdict(signal))},
    )
    report(f"signal to noise of the gradient: guide {signal.guide:.2f}, model {signal.model:.2f}")


def _is_evaluated(run: GridRun, config: EvaluationConfig) -> bool:
    try:
        evaluation = read_evaluation(run.files)
    except UserError:
        return False
    return evaluation.get("settings") == config.identity() and run.files.sentences.is_file()


def _is_measured(run: GridRun, what: Mapping[str, Any]) -> bool:
    signal = gradient_of(run)
    return {name: signal.get(name) for name in what} == what


def _measurement(
    run: GridRun, num_draws: int, progress: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the signal-to-noise ratio depends on; it is of a trained run."""
    return {
        "settings": run.files.read_config()["settings"],
        "step": progress["step"] if progress else None,
        "num_draws": num_draws,
        "seed": _GRADIENT_SEED,
    }


def gradient_of(run: GridRun) -> dict[str, Any]:
    """What :func:`measure_gradient` wrote; empty where it did not, or the file is damaged."""
    try:
        signal = json.loads((run.folder / GRADIENT_SIGNAL).read_bytes())
    except (OSError, ValueError):
        return {}
    return signal if isinstance(signal, dict) else {}


def _given(config: EvaluationConfig) -> dict[str, Any]:
    """The settings that are not the defaults."""
    defaults = asdict(EvaluationConfig())
    return {name: value for name, value in asdict(config).items() if value != defaults[name]}


def _flag(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
