# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tones and rhymes of the signs of a run: those of its world, or today's Mandarin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyro_textvae.data import Tokenizer
from pyro_textvae.data.languages.sign_classes import SignClasses, mandarin_classes
from pyro_textvae.data.world import open_world
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.load import read_run

_WORLD = "world:verse"


def sign_classes_of_run(
    path: str | Path | RunFolder, tokenizer: Tokenizer, further: str = ""
) -> SignClasses:
    """Those of every sign of the vocabulary of a run.

    :param further: signs beside these.
    :raises UserError: where pypinyin is needed and not installed.
    """
    config = read_run(path).config
    if config.data == _WORLD:
        world: Any = open_world(_WORLD.partition(":")[2], config.data_options)
        classes: SignClasses = world.sign_classes
        return classes
    return mandarin_classes([*tokenizer.vocabulary, *further])
