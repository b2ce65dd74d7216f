# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A person's text for a model that may not know all of its words."""

from __future__ import annotations

import difflib

from pyro_textvae.data.tokenizer import Tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import SPECIAL_TOKENS, UNK


def known_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text, without ``<eos>``, all of whose words must be in the vocabulary.

    A literal ``<unk>`` is let through, where the tokenizer has it: then it is meant.

    >>> from pyro_textvae.data import train_tokenizer
    >>> known_ids(train_tokenizer(["the cat sat"]), "the cot")
    Traceback (most recent call last):
    ...
    pyro_textvae.errors.UserError: 'cot' is not in the vocabulary: nearest is 'cat'; or write <unk>

    :raises UserError: naming the first that is not, with the nearest that are.
    """
    ids = tokenizer.encode(text)
    if UNK not in ids:
        return ids
    parts = text.split() if tokenizer.tokens_are_words else list(text)
    for part in parts:
        if part != SPECIAL_TOKENS[UNK] and UNK in tokenizer.encode(part):
            raise UserError(
                f"{part!r} is not in the vocabulary: {_nearest(tokenizer, part)}or write "
                f"{SPECIAL_TOKENS[UNK]}"
            )
    return ids


def _nearest(tokenizer: Tokenizer, word: str) -> str:
    words = tokenizer.vocabulary[len(SPECIAL_TOKENS) :]
    near = difflib.get_close_matches(word, words, n=3)
    if not near:
        lower = {each.lower(): each for each in reversed(words)}
        near = [lower[each] for each in difflib.get_close_matches(word.lower(), lower, n=3)]
    if not near:
        return ""
    return f"nearest {'are' if len(near) > 1 else 'is'} {', '.join(map(repr, near))}; "
