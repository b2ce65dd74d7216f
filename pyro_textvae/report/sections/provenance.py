# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the numbers come from: commands, commits, seeds, versions, fingerprints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pyro_textvae.report.blocks import Block, Section, Table
from pyro_textvae.report.per_run import for_each_run
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.environment import describe_environment


def provenance(runs: Sequence[RunRecord], seed: int) -> Section:
    """What each run and its evaluation were made with, and this report itself."""

    def blocks_of(run: RunRecord) -> list[Block]:
        settings = tuple((name, _shown(value)) for name, value in run.config["settings"].items())
        return [
            Table(("", "training", "evaluation"), _rows(run), prose=True),
            Table(("setting", "value"), settings, "Settings of the run", folded=True, prose=True),
        ]

    here = describe_environment()
    paths = " ".join(shlex.quote(str(run.path)) for run in runs)
    this_report = Table(
        ("", "this report"),
        (
            ("command", f"pyro-textvae report {paths} --seed {seed}"),
            ("commit", _shown(here["commit"])),
            ("versions", _versions(here)),
        ),
        prose=True,
    )
    return Section("Provenance", "provenance", (*for_each_run(runs, blocks_of), this_report))


def _rows(run: RunRecord) -> tuple[tuple[str, str, str], ...]:
    settings, result = run.config["settings"], run.evaluation or {}
    made, scored = _training_environment(run), result.get("environment") or {}
    return (
        ("folder", str(run.path), str(result.get("run") or "–")),
        ("command", _train_command(run), _evaluate_command(run)),
        ("data", _shown(settings.get("data")), _shown(result.get("data"))),
        ("split", "train", _shown(result.get("split"))),
        (
            "corpus fingerprint",
            _shown(run.config["corpus_fingerprint"]),
            _shown(result.get("corpus_fingerprint")),
        ),
        ("seed", _shown(settings.get("seed")), _shown(result.get("seed"))),
        ("commit", _shown(made.get("commit")), _shown(scored.get("commit"))),
        ("versions", _versions(made), _versions(scored)),
        ("platform", _shown(made.get("platform")), _shown(scored.get("platform"))),
        ("threads", _shown(made.get("threads")), _shown(scored.get("threads"))),
        ("GPU", _shown(made.get("cuda")), _shown(scored.get("cuda"))),
    )


def _training_environment(run: RunRecord) -> dict[str, Any]:
    try:
        environment = json.loads(RunFolder(run.path).environment.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return environment if isinstance(environment, dict) else {}


def _train_command(run: RunRecord) -> str:
    if run.config.get("made_by"):
        return str(run.config["made_by"])
    config = shlex.quote(str(RunFolder(run.path).config_yaml))
    return f"pyro-textvae train --config {config} --out NEW"


def _evaluate_command(run: RunRecord) -> str:
    result = run.evaluation
    if result is None:
        return "–"
    if result.get("command"):
        return str(result["command"])
    names = ("split", "num_samples", "seed")
    flags = [f"--{name.replace('_', '-')} {result[name]}" for name in names if name in result]
    if result.get("proposal") not in (None, "guide"):
        flags.append(f"--proposal {result['proposal']}")
    if result.get("data") not in (None, run.config["settings"].get("data")):
        flags.append(f"--data {shlex.quote(str(result['data']))}")
    return " ".join(["pyro-textvae evaluate", shlex.quote(str(run.path)), *flags])


def _versions(environment: Mapping[str, Any]) -> str:
    packages = environment.get("packages") or {}
    python = [f"python {environment['python']}"] if "python" in environment else []
    return ", ".join([*python, *(f"{name} {version}" for name, version in packages.items())]) or "–"


def _shown(value: Any) -> str:
    return "–" if value is None else str(value)
