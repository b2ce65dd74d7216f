# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How text becomes rows of ids, and the lines that are too long for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyro_textvae import zoo
from pyro_textvae.data.store import FORMAT_VERSION
from pyro_textvae.data.tokenizer import Tokenizer, fewest_tokens
from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.errors import UserError

# A longer line is more often a file without line ends than a sentence.
LONGEST_LINE = 10_000


@dataclass(frozen=True)
class EncodingOptions:
    """How text becomes rows; all of it is part of the cache key.

    :param tokenizer: one to use as it is, or the kind to train, in its normal form of Unicode.
    :param max_length: longest row of text or source, ``<eos>`` included.
    :param max_source_length: longest row of source, where it is another.
    :param max_sentences: most sentences of a document.
    :param copy_unknown_words: keep the words of sources that are outside the vocabulary.
    :param truncate: cut longer rows instead of dropping the sentence.
    :param min_count: least frequency of a token.
    :param vocab_size: most entries of the vocabulary.
    :param label_column: where labels stand, for messages; None where the source decides.
    :param label_names: the labels in the order of their indices; by default those of train, sorted.
    """

    tokenizer: TokenizerKind | Tokenizer
    max_length: int | None
    truncate: bool
    min_count: int
    vocab_size: int | None
    label_column: str | None = None
    label_names: tuple[str, ...] | None = None
    max_source_length: int | None = None
    max_sentences: int | None = None
    copy_unknown_words: bool = False

    @property
    def source_limit(self) -> int | None:
        """Longest row of source, ``<eos>`` included."""
        return self.max_length if self.max_source_length is None else self.max_source_length

    def key_parts(self) -> list[str]:
        """What the cache key is made of."""
        sizes: tuple[Any, ...]
        sizes = (self.max_length, self.truncate, self.min_count, self.vocab_size)
        if self.max_source_length is not None:
            sizes += (self.max_source_length,)
        if self.max_sentences is not None:
            sizes += (f"{self.max_sentences} sentences",)
        if self.copy_unknown_words:
            sizes += ("unknown words are copied",)
        labels = (self.label_column, self.label_names)
        return [str(FORMAT_VERSION), self._tokenizer_key(), repr(sizes), repr(labels)]

    def _tokenizer_key(self) -> str:
        if isinstance(self.tokenizer, Tokenizer):
            return self.tokenizer.fingerprint
        kind = type(self.tokenizer)
        name = zoo.name_of("tokenizers", kind) or zoo.digest_of(kind)
        return f"{name}{self.tokenizer.content_digest} {self.tokenizer.unicode_form}"

    def fewest_tokens(self, text: str) -> int:
        """A number of tokens that a text has at least, at the cost of a look at it."""
        if isinstance(self.tokenizer, Tokenizer):
            return self.tokenizer.fewest_tokens(text)
        return fewest_tokens(text, self.tokenizer)


def refuse_long_line(place: str, num_tokens: int, options: EncodingOptions) -> None:
    """Refuse a line of far too many tokens where no length is set.

    :raises UserError: with where it stands.
    """
    if num_tokens > LONGEST_LINE:
        setting = "max_length" if options.max_length is None else "max_source_length"
        raise UserError(
            f"{place} has {num_tokens:,} tokens, over {LONGEST_LINE:,}; set {setting} to"
            " drop such lines, and truncate=True to cut them instead"
        )
