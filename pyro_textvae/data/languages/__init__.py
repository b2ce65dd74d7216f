# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Probabilistic grammars: sampling, exact probabilities, and the one that is shipped."""

from pyro_textvae.data.languages.grammar import Grammar
from pyro_textvae.data.languages.synthetic_language import shipped_grammar_text

__all__ = ["Grammar", "shipped_grammar_text"]
