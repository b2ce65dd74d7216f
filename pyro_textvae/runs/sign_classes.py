# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tones and rhymes of the signs of a run: those of its world, or today's Mandarin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro_textvae.data import Tokenizer
from pyro_textvae.data.languages.sign_classes import SignClasses, mandarin_classes
from pyro_textvae.data.world import open_world
from pyro_textvae.nn.form_masks import FormMasks
from pyro_textvae.runs.load import read_run

_WORLD = "world:verse"


def sign_classes(data: str, options: Mapping[str, Any], tokenizer: Tokenizer) -> SignClasses:
    """Those of the text of a corpus, of every sign of its vocabulary.

    :param data: what the corpus was read from.
    :param options: of its world.
    :raises UserError: where pypinyin is needed and not installed.
    """
    if data == _WORLD:
        world: Any = open_world(_WORLD.partition(":")[2], options)
        classes: SignClasses = world.sign_classes
        return classes
    return mandarin_classes(tokenizer.vocabulary)


def form_masks_of_run(path: str | Path, tokenizer: Tokenizer) -> FormMasks:
    """Masks by which the poems of a run keep to their form.

    :raises UserError: as :func:`sign_classes`.
    """
    config = read_run(path).config
    return FormMasks(tokenizer, sign_classes(config.data, config.data_options, tokenizer))
