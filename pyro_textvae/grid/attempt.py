# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One run of a grid, from wherever it was left: trained, evaluated, its gradient measured."""

from __future__ import annotations

import json
import shlex
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyro

from pyro_textvae import runs
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation import gradient_signal
from pyro_textvae.grid.definition import GridRun
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.files import plain_json, write_json, write_text
from pyro_textvae.run_folder.sentence_table import sentence_table_path
from pyro_textvae.runs.build import build
from pyro_textvae.runs.evaluate import partial_of, write_evaluation
from pyro_textvae.runs.load import load_run_corpus, read_run

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


def is_finished(run: GridRun, evaluation: EvaluationConfig, gradient_draws: int) -> bool:
    """Whether nothing is left to do, with these very settings."""
    if other_setting(run) is not None or not is_trained(run) or not _is_evaluated(run, evaluation):
        return False
    return gradient_draws == 0 or _is_measured(run, _measurement(run, gradient_draws))


def is_trained(run: GridRun) -> bool:
    """Whether nothing is left to train."""
    folder = RunFolder(run.folder)
    state = folder.load_state() if folder.config_json.is_file() else None
    if state is None:
        return False
    progress = state["progress"]
    return progress["finished"] or progress["epoch"] >= run.config.epochs


def other_setting(run: GridRun) -> str | None:
    """The first setting that the run in the folder has otherwise, in words; None for none.

    Damaged files are another setting too: the run cannot be gone on with.
    """
    folder = RunFolder(run.folder)
    if not folder.config_json.is_file():
        return None
    try:
        stored = TrainConfig(**folder.read_config()["settings"]).to_dict()
        folder.load_state()
    except (UserError, KeyError, TypeError) as error:
        return f"damaged files ({in_one_line(error)})"
    wanted = run.config.to_dict()
    for name, value in wanted.items():
        # Another device takes a run no further from its settings than another machine does.
        if name != "device" and stored[name] != value:
            return f"{name} {stored[name]!r}, the grid gives {value!r}"
    return None


def train(run: GridRun, *, overwrite: bool, report: Report) -> None:
    """Train the run, or go on with it; ``overwrite`` replaces what its folder holds."""
    folder = RunFolder(run.folder)
    if overwrite or not folder.config_json.is_file():
        runs.train(run.config, run.folder, overwrite=True, report=report)
    elif not is_trained(run):
        # An evaluation from before is of other weights.
        folder.evaluation.unlink(missing_ok=True)
        sentence_table_path(folder.evaluation).unlink(missing_ok=True)
        runs.resume(run.folder, device=run.config.device, report=report)


def evaluate(run: GridRun, config: EvaluationConfig, *, report: Report) -> None:
    """Evaluate the run, unless that was done with the same settings."""
    if _is_evaluated(run, config):
        return
    out = RunFolder(run.folder).evaluation
    found = runs.evaluate(run.folder, config, partial=partial_of(out))
    flags = [f"--{name.replace('_', '-')}={_flag(v)}" for name, v in _given(config).items()]
    write_evaluation(
        out, found, config, shlex.join(["pyro-textvae", "evaluate", str(run.folder), *flags])
    )
    result = found.result
    report(f"nll {result['nll']:.3f} +- {result['nll_standard_error']:.3f} nats per sentence")


def measure_gradient(run: GridRun, num_draws: int, *, report: Report) -> None:
    """Write the signal-to-noise ratio of the gradient at the end of training.

    It is of the last weights, not of those of the best bound, under the objective as it stood
    then: with the KL weight, and whatever else it keeps, of the last step.
    """
    folder = RunFolder(run.folder)
    what = _measurement(run, num_draws)
    if _is_measured(run, what):
        return
    state: Any = folder.load_state()
    config, stored = run.config, read_run(run.folder)
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
        found = gradient_signal(
            built.model, built.guide, objective, corpus.train.batch(rows), num_draws, _GRADIENT_SEED
        )
    write_json(
        folder.path / GRADIENT_SIGNAL,
        {**what, "num_sentences": len(rows), **plain_json(asdict(found))},
    )
    report(f"signal to noise of the gradient: guide {found.guide:.2f}, model {found.model:.2f}")


def _is_evaluated(run: GridRun, config: EvaluationConfig) -> bool:
    out = RunFolder(run.folder).evaluation
    return _read(out).get("settings") == config.identity() and sentence_table_path(out).is_file()


def _is_measured(run: GridRun, what: dict[str, Any]) -> bool:
    found = gradient_of(run)
    return {name: found.get(name) for name in what} == what


def _measurement(run: GridRun, num_draws: int) -> dict[str, Any]:
    """What the signal-to-noise ratio depends on; it is of a trained run."""
    folder = RunFolder(run.folder)
    state = folder.load_state()
    return {
        "settings": folder.read_config()["settings"],
        "step": state["progress"]["step"] if state else None,
        "num_draws": num_draws,
        "seed": _GRADIENT_SEED,
    }


def gradient_of(run: GridRun) -> dict[str, Any]:
    """What :func:`measure_gradient` wrote; empty where it did not."""
    return _read(run.folder / GRADIENT_SIGNAL)


def _given(config: EvaluationConfig) -> dict[str, Any]:
    """The settings that are not the defaults."""
    defaults = asdict(EvaluationConfig())
    return {name: value for name, value in asdict(config).items() if value != defaults[name]}


def _flag(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none, or a damaged one."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
