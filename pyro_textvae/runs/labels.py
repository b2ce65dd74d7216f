# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the labels of a corpus and the programs that are trained on it fit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import LABELS
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.infer.enumeration import MAX_COMBINATIONS
from pyro_textvae.infer.simulate import named_fields

NUM_LABELS = "num_labels"
"""What a program of labels asks for by name: how many there are."""


def check_enough_labels(
    specs: Mapping[str, str | None], config: TrainConfig, corpus: Corpus
) -> None:
    """Refuse a corpus without labels, with one alone, or with too many, for programs of labels.

    :param specs: the names of model and guide; None for no guide's name.
    :raises UserError: unless the options say how many labels there are, and for more than can be
        summed over.
    """
    names = corpus.label_names
    count = config.options.get(NUM_LABELS, len(names))
    for kind in zoo.PROGRAMS:
        spec = specs[kind.removesuffix("s")]
        parameters = {} if spec is None else inspect.signature(zoo.load(kind, spec)).parameters
        if NUM_LABELS not in parameters:
            continue
        if spec in zoo.names(kind) and isinstance(count, int) and count > MAX_COMBINATIONS:
            raise UserError(
                f"{spec} is summed over all labels, at most {MAX_COMBINATIONS:,}, and there are "
                f"{count:,}: give a label_column with fewer values, or a smaller {NUM_LABELS}"
            )
        if NUM_LABELS in config.options:
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


def _are_read(model: nn.Module, guide: nn.Module, config: TrainConfig) -> bool:
    takers = any(LABELS in named_fields(program) for program in (model, guide))
    return takers or bool(config.auxiliaries)
