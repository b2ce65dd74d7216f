# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every number about the text that a run writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro_textvae import zoo
from pyro_textvae.assessment.conditional import world_name
from pyro_textvae.assessment.extra import require
from pyro_textvae.assessment.judge import judge_config
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric, build_metric
from pyro_textvae.assessment.statistics import load_statistic
from pyro_textvae.config.assess import AssessmentConfig
from pyro_textvae.errors import UserError
from pyro_textvae.generation import build_method
from pyro_textvae.progress_bar import progress_bar
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.run_folder.files import plain_json
from pyro_textvae.run_folder.weights_hash import load_with_hash
from pyro_textvae.runs.load import load_pair, load_run_corpus, read_run

_FIRST_TITLES = (
    "reconstruction",
    "samples",
    "language models",
    "model criticism",
    "known language",
)
"""The order of headings; others follow."""


def assess(
    path: str | Path | RunFolder, config: AssessmentConfig, *, trust_code: bool = False
) -> dict[str, Any]:
    """What ``generation.json`` holds: the numbers of all metrics, and how they were made.

    :param trust_code: execute what the run names from outside the catalogue, see
        :func:`pyro_textvae.load_run`.
    :raises UserError: when the run, a method, a metric or a statistic does not fit, there are fewer
        sentences than a metric needs, or a package is missing. Nothing is drawn before that.
    """
    build_method(config.method, config.options)
    build_method(config.reconstruction_method, config.reconstruction_options)
    judge_config(config.language_model_settings)
    metrics = {spec: build_metric(spec) for spec in config.metrics or zoo.names("metrics")}
    for spec in config.statistics:
        load_statistic(spec)
    run = read_run(path, trust_code=trust_code)
    pair, weights = load_with_hash(run.folder, lambda: load_pair(run, device=config.device))
    corpus = load_run_corpus(run)
    if not len(corpus.split(config.split)):
        raise UserError(f"the {config.split} split of {path} is empty: choose another --split")
    material = Material(run.folder, pair, corpus, config, trust_code=trust_code)
    wanted, left_out = _applicable(metrics, material, named=bool(config.metrics))
    _check_sizes(wanted, material)
    require(sorted({name for metric in wanted.values() for name in metric.packages}))
    if config.language_model is not None:
        _ = material.judge
    numbers = _measured(wanted, material)
    return plain_json(
        {
            "run": str(path),
            "model": run.contents["specs"]["model"],
            "guide": run.contents["specs"]["guide"],
            "weights_sha256": weights,
            "data": run.config.data,
            "split": config.split,
            "num_sentences": material.size,
            "corpus_fingerprint": corpus.fingerprint,
            "numbers": numbers,
            "materials": material.used,
            "interval": {
                "level": 0.95,
                "method": "centred percentiles of resamples of the sentences",
                "num_resamples": config.num_resamples,
                "seed": config.seed,
            },
            "examples": material.examples,
            "remarks": material.remarks,
            "left_out": left_out,
            "settings": config.identity(),
            "environment": describe_environment(),
        }
    )


def _applicable(
    metrics: Mapping[str, Metric], material: Material, *, named: bool
) -> tuple[dict[str, Metric], list[str]]:
    """The metrics that say something, and why the others do not.

    :param named: whether a person asked for each of them.
    """
    wanted, left_out = {}, []
    for spec, metric in metrics.items():
        if not named and metric.worlds and world_name(material) not in metric.worlds:
            if material.takes_source:
                worlds = ", ".join(f"world:{name}" for name in metric.worlds)
                left_out.append(f"{spec}: it is asked of {worlds}; of other text, by --metrics")
            continue
        reason = metric.why_not(material)
        if reason is None:
            wanted[spec] = metric
        elif named:
            raise UserError(f"the metric {spec} says nothing of {material.folder}: {reason}")
        else:
            left_out.append(f"{spec}: {reason}")
    return wanted, left_out


def _check_sizes(metrics: Mapping[str, Metric], material: Material) -> None:
    for spec, metric in metrics.items():
        if material.size < metric.fewest:
            has = len(material.corpus.split(material.config.split))
            raise UserError(
                f"the metric {spec} needs at least {metric.fewest} sentences, and size "
                f"{material.config.size} of the {has} of the {material.config.split} split are "
                f"{material.size}: give a larger --size, another --split, or other --metrics"
            )


def _measured(metrics: Mapping[str, Metric], material: Material) -> dict[str, dict[str, Any]]:
    numbers: dict[str, dict[str, Any]] = {}
    with progress_bar(metrics.items()) as progress:
        for spec, metric in progress:
            progress.set_description(spec)
            for number in metric.measure(material):
                if number.name in numbers:
                    raise UserError(
                        f"the metric {spec} has a number {number.name!r}, as another one has: give "
                        "it another name"
                    )
                numbers[number.name] = {"title": metric.title, **number.to_dict()}
    order = {title: place for place, title in enumerate(_FIRST_TITLES)}
    titles = [number["title"] for number in numbers.values()]
    for title in titles:
        order.setdefault(title, len(order))
    return dict(sorted(numbers.items(), key=lambda each: order[each[1]["title"]]))
