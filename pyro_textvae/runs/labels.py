# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the labels of a corpus and the programs that are trained on it fit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import LABELS
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.infer.simulate import named_fields

NUM_LABELS = "num_labels"
"""What a program of labels asks for by name: how many there are."""

_CLASSIFICATION = "label_classification"


def check_enough_labels(
    specs: Mapping[str, str | None], config: TrainConfig, corpus: Corpus
) -> None:
    """Refuse a corpus without labels, or with one alone, for programs that need several.

    :param specs: the names of model and guide; None for no guide's name.
    :raises UserError: unless the options say how many labels there are.
    """
    if NUM_LABELS in config.options:
        return
    names = corpus.label_names
    for kind in zoo.PROGRAMS:
        spec = specs[kind.removesuffix("s")]
        parameters = {} if spec is None else inspect.signature(zoo.load(kind, spec)).parameters
        if NUM_LABELS not in parameters:
            continue
        if not names and parameters[NUM_LABELS].default is inspect.Parameter.empty:
            raise UserError(
                f"{spec} is of sentences with labels, and {corpus.source} has none: name their "
                f"column with --label-column; to find {NUM_LABELS} groups of sentences without "
                f"labels, give their number as --options '{{\"{NUM_LABELS}\": 10}}'"
            )
        if len(names) == 1:
            raise UserError(
                f"all labels of {corpus.source} are {names[0]!r}, and {spec} needs two or more: "
                "set --label-column to a column with several values, or take another model"
            )


def check_labels_are_read(model: nn.Module, guide: nn.Module, config: TrainConfig) -> None:
    """Refuse to hide labels that nothing reads.

    :raises UserError: with the setting that would do nothing.
    """
    if config.labelled_share is not None and not _are_read(model, guide, config):
        raise UserError(
            f"labelled_share={config.labelled_share!r} would do nothing, for {config.model} takes "
            "no labels: take a model that does, such as labelled_vae with --guide labelled, or "
            "leave it out"
        )


def labels_left_unread(model: nn.Module, guide: nn.Module, config: TrainConfig) -> list[str]:
    """What is to be said of labels that no program reads; nothing where one does."""
    if config.label_column is None or _are_read(model, guide, config):
        return []
    return [
        f"{config.model} takes no labels, so the column {config.label_column!r} changes nothing in "
        "training; the report and traverse show its labels. A model of them is labelled_vae, with "
        "--guide labelled"
    ]


def classifier_left_untrained(
    config: TrainConfig, contents: Mapping[str, Any], guide: nn.Module
) -> str | None:
    """Why a guide's q(label | text) has learnt nothing, in one line; None where it has a bound.

    An objective of importance weights that sums over labels has no q(label | text), nor has the
    bound of a text whose label is given. Then what teaches it is the loss label_classification.
    """
    train = contents.get("corpus", {}).get("train", {})
    loss = {**getattr(guide, "auxiliaries", {}), **config.auxiliaries}.get(_CLASSIFICATION, 0)
    weight = loss.get("weight", 1.0) if isinstance(loss, Mapping) else loss
    if weight or config.objective not in zoo.names("objectives"):
        return None
    if not zoo.load("objectives", config.objective).trains_enumerated_sites:
        why = f"{config.objective} has it in no bound"
    elif train.get("labelled") == train.get("sentences"):
        why = f"every sentence had its label, and {config.objective} has it in no bound then"
    else:
        return None
    return (
        f"the guide's q(label | text) was not trained, so it says nothing: {why}; train with "
        f"--auxiliaries '{{\"{_CLASSIFICATION}\": 1}}'"
    )


def _are_read(model: nn.Module, guide: nn.Module, config: TrainConfig) -> bool:
    takers = any(LABELS in named_fields(program) for program in (model, guide))
    return takers or bool(config.auxiliaries)
