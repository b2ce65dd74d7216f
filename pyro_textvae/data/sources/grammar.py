# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences drawn from a grammar: their true entropy is known."""

from __future__ import annotations

from typing import ClassVar

from pyro_textvae.data.sources.world import WorldTexts


class GrammarSentences(WorldTexts):
    """Independent draws from the shipped grammar: the name that ``world:grammar`` had before.

    >>> next(GrammarSentences(num_sentences=10, seed=0).records()).split
    'train'

    :param num_sentences: how many; by default 20,000.
    :param seed: of the draws.
    :raises UserError: for so few sentences that a split is empty.
    """

    spelling: ClassVar[str] = "grammar"

    def __init__(self, num_sentences: int | None = None, seed: int = 0) -> None:
        super().__init__("grammar", num_sentences, seed=seed)
        self.name = "grammar"
