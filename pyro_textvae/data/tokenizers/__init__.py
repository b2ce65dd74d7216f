# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Kinds of tokenizer, one a file, found by its name (``--tokenizer bpe``)."""

from pyro_textvae.data.tokenizers.bpe import ByteLevelBPETokenizer
from pyro_textvae.data.tokenizers.character import CharacterTokenizer
from pyro_textvae.data.tokenizers.nltk import NLTKTokenizer
from pyro_textvae.data.tokenizers.word import WordTokenizer

__all__ = ["ByteLevelBPETokenizer", "CharacterTokenizer", "NLTKTokenizer", "WordTokenizer"]
