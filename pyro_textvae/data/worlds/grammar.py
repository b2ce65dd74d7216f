# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences of the grammar that comes with the library."""

from __future__ import annotations

import numpy as np

from pyro_textvae.data.languages.grammar import Grammar
from pyro_textvae.data.languages.synthetic_language import shipped_grammar_text
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Estimate, Example, World
from pyro_textvae.errors import UserError


class GrammarWorld(World):
    """Independent draws from the shipped grammar, which is unambiguous.

    >>> round(GrammarWorld().entropy().value, 3)
    36.484
    """

    def __init__(self) -> None:
        self.grammar = Grammar(shipped_grammar_text())

    @property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        return self.grammar.lexicon

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """One sentence."""
        return Example(" ".join(self.grammar.sample(generator)))

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(text) in nats."""
        if source is not None or label is not None:
            raise UserError("world:grammar has texts alone, without a source or a label")
        return self.grammar.log_prob(text.split(" "))

    def conditional_entropy(self, num_examples: int = 0, seed: int = 0) -> Estimate:
        """As :meth:`entropy`: nothing is given."""
        return self.entropy()

    def entropy(self, num_examples: int = 0, seed: int = 0) -> Estimate:
        """H(text) in nats; exact, so no examples are drawn."""
        return Estimate(self.grammar.entropy, 0.0)
