# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Single characters."""

from __future__ import annotations

import tokenizers
from tokenizers import decoders, pre_tokenizers
from tokenizers.models import Model

from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.data.unicode_form import UnicodeForm


class CharacterTokenizer(TokenizerKind):
    """One token a character, of text in Unicode's normal form C.

    >>> from pyro_textvae.data import train_tokenizer
    >>> train_tokenizer(["abba"], "character").encode("bab")
    [5, 4, 5]
    """

    unicode_form: UnicodeForm = "nfc"

    def fewest_tokens(self, text: str) -> int:
        """The characters."""
        return len(text)

    def pipeline(self, model: Model) -> tokenizers.Tokenizer:
        """Split between all characters."""
        backend = tokenizers.Tokenizer(model)
        backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        backend.decoder = decoders.Fuse()
        return backend
