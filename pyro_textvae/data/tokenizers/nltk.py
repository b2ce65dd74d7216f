# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words by NLTK's word tokenizer, for raw text."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import tokenizers
from tokenizers import pre_tokenizers
from tokenizers.models import Model

from pyro_textvae.data.import_nltk import import_nltk
from pyro_textvae.data.tokenizers.word import WordTokenizer
from pyro_textvae.special_tokens import SPECIAL_TOKENS

_SPECIAL_WORD = re.compile(r"(?<!\S)(<(?:pad|bos|eos|unk)>)(?!\S)")


class NLTKTokenizer(WordTokenizer):
    """Split raw text as the Penn Treebank was split: ``didn't.`` becomes ``did n't .``.

    NLTK's ``TreebankWordTokenizer`` runs before the pipeline, which has no such step.

    >>> from pyro_textvae.data import train_tokenizer
    >>> tokenizer = train_tokenizer(["The cat didn't sit."], "nltk")
    >>> tokenizer.decode(tokenizer.encode("The cat didn't."))
    "The cat did n't ."
    """

    def pipeline(self, model: Model) -> tokenizers.Tokenizer:
        """The pipeline of words, marked as this kind's."""
        backend = super().pipeline(model)
        # A sequence of one step works like the step itself, and tells the two files apart.
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit()])
        return backend

    def prepare(self, text: str) -> str:
        """The words of the text, joined by single spaces."""
        # Set apart first: NLTK would take the brackets off and leave `unk` as a word.
        words: list[str] = []
        for piece in _SPECIAL_WORD.split(text):
            words += [piece] if piece in SPECIAL_TOKENS else _treebank().tokenize(piece)
        return " ".join(words)


@cache
def _treebank() -> Any:
    return import_nltk("nltk.tokenize.treebank").TreebankWordTokenizer()
