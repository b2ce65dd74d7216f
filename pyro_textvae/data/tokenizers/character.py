# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Single characters."""

from __future__ import annotations

import unicodedata

import tokenizers
from tokenizers import decoders, normalizers, pre_tokenizers
from tokenizers.models import Model

from pyro_textvae.data.tokenizer_kind import TokenizerKind


class CharacterTokenizer(TokenizerKind):
    """One token a character, of text in Unicode's normal form C.

    >>> from pyro_textvae.data import train_tokenizer
    >>> train_tokenizer(["abba"], "character").encode("bab")
    [5, 4, 5]
    """

    def fewest_tokens(self, text: str) -> int:
        """The characters in normal form C."""
        return len(unicodedata.normalize("NFC", text))

    def pipeline(self, model: Model) -> tokenizers.Tokenizer:
        """Normalise, then split between all characters."""
        backend = tokenizers.Tokenizer(model)
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        backend.decoder = decoders.Fuse()
        return backend
