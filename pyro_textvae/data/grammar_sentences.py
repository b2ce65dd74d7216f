# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The corpus of sentences drawn from a grammar: its true entropy is known."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from pyro_textvae.data.grammar import Grammar
from pyro_textvae.data.records import Record, SplitName, content_digest
from pyro_textvae.data.synthetic_language import shipped_grammar_text
from pyro_textvae.errors import UserError

DEFAULT_NUM_SENTENCES = 20_000
_FEWEST = 10


class GrammarSentences:
    """Independent draws from the shipped grammar, split 80/10/10 by position.

    Duplicates stay: without them the splits would no longer be draws from the grammar.
    """

    name = "grammar"

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
        return Grammar(shipped_grammar_text())

    def digest(self) -> str:
        return content_digest(
            "grammar", shipped_grammar_text(), str((self.num_sentences, self.seed))
        )

    def records(self) -> Iterator[Record]:
        generator = np.random.default_rng(self.seed)
        valid_from, test_from = self.num_sentences * 8 // 10, self.num_sentences * 9 // 10
        for position in range(self.num_sentences):
            text = " ".join(self.grammar.sample(generator))
            split: SplitName = "train"
            if position >= valid_from:
                split = "valid" if position < test_from else "test"
            yield Record(split, text, f"grammar sentence {position + 1}")
