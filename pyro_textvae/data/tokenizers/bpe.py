# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Byte-level byte-pair encoding."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import ClassVar

import tokenizers
from tokenizers import decoders, pre_tokenizers
from tokenizers.models import BPE, Model
from tokenizers.trainers import BpeTrainer

from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import SPECIAL_TOKENS

DEFAULT_SIZE = 8000
NUM_BYTES = 256
LONGEST_WORD = 10_000
"""In characters, of the text that merges are learned from: their cost grows with its square."""


class ByteLevelBPETokenizer(TokenizerKind):
    """Byte-pair encoding of the bytes of the text, of which none is ever unknown.

    As the text can be had back byte for byte, it is in no normal form unless one is asked for.

    Source: Sennrich, Haddow and Birch 2016, https://aclanthology.org/P16-1162; on bytes as in
    GPT-2.

    >>> from pyro_textvae.data import train_tokenizer
    >>> tokenizer = train_tokenizer(["low lower lowest"], "bpe", vocab_size=264)
    >>> tokenizer.decode(tokenizer.encode("slöwest"))
    'slöwest'
    """

    encodes_any_text: ClassVar[bool] = True
    smallest_vocabulary: ClassVar[int] = len(SPECIAL_TOKENS) + NUM_BYTES

    def pipeline(self, model: Model) -> tokenizers.Tokenizer:
        """Split into words as GPT-2 does, each written in bytes."""
        backend = tokenizers.Tokenizer(model)
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        return backend

    def fewest_tokens(self, text: str) -> int:
        """The words between whitespace: no merge goes beyond one."""
        return len(text.split())

    def empty_model(self) -> Model:
        """A model without merges."""
        return BPE()

    def train(
        self, texts: Iterable[list[str]], min_count: int, vocab_size: int | None
    ) -> tokenizers.Tokenizer:
        """The specials, all bytes, then merges from frequent to rare.

        :param texts: prepared texts, in lists, which are read once.
        :param min_count: the least frequency of a merge.
        :param vocab_size: most entries, the four specials included; 8000 by default.
        :raises UserError: for a word of more than :data:`LONGEST_WORD` characters.
        """
        trained = self.pipeline(self.empty_model())
        trainer = BpeTrainer(
            vocab_size=vocab_size or DEFAULT_SIZE,
            min_frequency=min_count,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        trained.train_from_iterator(map(_without_long_words, texts), trainer)
        # The trainer makes the specials "added tokens", which are matched inside text: take that
        # off.
        content = json.loads(trained.to_str())
        content["added_tokens"] = []
        return tokenizers.Tokenizer.from_str(json.dumps(content))


def _without_long_words(texts: list[str]) -> list[str]:
    """The texts, in none of which is a word that takes too long."""
    for text in texts:
        if len(text) <= LONGEST_WORD:
            continue
        word = max(text.split(), key=len, default="")
        if len(word) > LONGEST_WORD:
            raise UserError(
                f"a word has {len(word):,} characters ({word[:20]!r}...), and bpe learns from words"
                f" of at most {LONGEST_WORD:,}; put spaces between words, or leave that line out"
            )
    return texts
