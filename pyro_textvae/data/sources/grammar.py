# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences drawn from a grammar: their true entropy is known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

import numpy as np

from pyro_textvae.data.records import Record, SplitName, content_digest
from pyro_textvae.data.worlds.grammar import Grammar
from pyro_textvae.data.worlds.synthetic_language import shipped_grammar_text
from pyro_textvae.errors import UserError

DEFAULT_NUM_SENTENCES = 20_000
_FEWEST = 10


class GrammarSentences:
    """Independent draws from the shipped grammar, split 80/10/10 by position.

    Duplicates stay: without them the splits would no longer be draws from the grammar.

    >>> next(GrammarSentences(num_sentences=10, seed=0).records()).split
    'train'

    :param num_sentences: how many; by default 20,000.
    :param seed: of the draws.
    :raises UserError: for so few sentences that a split is empty.
    """

    name = "grammar"
    spelling: ClassVar[str] = "grammar"

    def __init__(self, num_sentences: int | None = None, seed: int = 0) -> None:
        self.num_sentences = DEFAULT_NUM_SENTENCES if num_sentences is None else num_sentences
        if self.num_sentences < _FEWEST:
            raise UserError(
                f"num_sentences={num_sentences} leaves a split of the grammar corpus empty; give at"
                f" least {_FEWEST}"
            )
        self.seed = seed

    @cached_property
    def grammar(self) -> Grammar:
        """The language itself."""
        return Grammar(shipped_grammar_text())

    @property
    def lexicon(self) -> list[str]:
        """All words of the language: with fewer in the vocabulary it would be another language."""
        return self.grammar.lexicon

    def digest(self) -> str:
        """A hash of the grammar, the number of sentences and the seed."""
        return content_digest(
            "grammar", shipped_grammar_text(), str((self.num_sentences, self.seed))
        )

    def records(self) -> Iterator[Record]:
        """The sentences, in the order in which they are drawn."""
        generator = np.random.default_rng(self.seed)
        valid_from, test_from = self.num_sentences * 8 // 10, self.num_sentences * 9 // 10
        for position in range(self.num_sentences):
            text = " ".join(self.grammar.sample(generator))
            split: SplitName = "train"
            if position >= valid_from:
                split = "valid" if position < test_from else "test"
            yield Record(split, text, f"grammar sentence {position + 1}")
