# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words between whitespace."""

from __future__ import annotations

from typing import ClassVar

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers.models import Model

from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.data.unicode_form import UnicodeForm
from pyro_textvae.data.whitespace_words import RESERVED_WORD


class WordTokenizer(TokenizerKind):
    """Split at whitespace; a literal ``<unk>`` is the unknown word, as in the Penn Treebank.

    A word in composed and in decomposed code points is one word: the text is in normal form C.

    >>> from pyro_textvae.data import train_tokenizer
    >>> tokenizer = train_tokenizer(["the cat sat", "the dog"], "word")
    >>> tokenizer.vocabulary[4:]
    ['the', 'cat', 'dog', 'sat']
    >>> tokenizer.encode("the zebra sat")
    [4, 3, 7]
    """

    tokens_are_words: ClassVar[bool] = True
    unicode_form: UnicodeForm = "nfc"

    def fewest_tokens(self, text: str) -> int:
        """The words between whitespace."""
        return len(text.split())

    def pipeline(self, model: Model) -> tokenizers.Tokenizer:
        """Literal ``<pad>``, ``<bos>`` and ``<eos>`` become ``<unk>``; then split at whitespace."""
        backend = tokenizers.Tokenizer(model)
        backend.normalizer = normalizers.Replace(Regex(RESERVED_WORD), "<unk>")
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return backend
