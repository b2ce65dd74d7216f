# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Languages of known truth: what a model of them should reach can be computed."""

from pyro_textvae.data.worlds.grammar import Grammar
from pyro_textvae.data.worlds.synthetic_language import shipped_grammar_text

__all__ = ["Grammar", "shipped_grammar_text"]
