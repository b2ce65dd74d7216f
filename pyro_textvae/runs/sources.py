# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the sources of a corpus and the programs that are trained on it fit."""

from __future__ import annotations

from torch import nn

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import SOURCE
from pyro_textvae.infer.simulate import named_fields


def sources_left_unread(model: nn.Module, guide: nn.Module, config: TrainConfig) -> list[str]:
    """What is to be said of sources that no program reads; nothing where one does."""
    if config.source_column is None or any(
        SOURCE in named_fields(program) for program in (model, guide)
    ):
        return []
    return [
        f"{config.model} takes no source, so of the column {config.source_column!r} the words are "
        "in the vocabulary, and nothing else is read. A model of text given a source is "
        "conditional_vae"
    ]
