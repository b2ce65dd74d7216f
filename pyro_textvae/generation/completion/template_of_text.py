# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A template as a person writes it: ___ for a word, ... for any number of words."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

from pyro_textvae.data import Tokenizer
from pyro_textvae.data.known_words import known_ids
from pyro_textvae.generation.completion.template import Hole, Template
from pyro_textvae.special_tokens import EOS, SPECIAL_TOKENS, UNK

_HOLE = re.compile(r"(?<![\\_])(_{3,})|(?<!\S)(?:\.\.\.|…)(?!\S)")
_ESCAPE = re.compile(r"\\(?=\.\.\.|___)")


def template_of_text(
    tokenizer: Tokenizer, text: str, *, is_prompt: bool = False, unknown: bool = True
) -> Template:
    r"""The template of a text in which ``___`` stands for one word and ``...`` for any number.

    Three underscores or more are one word; three dots that stand alone are words or none, at the
    end the rest of the sentence. A backslash before them makes them text. Of sub-word tokens a word
    is as many as have no space between them.

    >>> from pyro_textvae.data import train_tokenizer
    >>> tokenizer = train_tokenizer(["the cat sat on the mat"])
    >>> template = template_of_text(tokenizer, "the ___ sat ...")
    >>> template.runs, [hole.may_be_empty for hole in template.holes], template.is_open
    (((4,), (8,), (2,)), [False, True], True)

    :param is_prompt: whether the sentence goes on after the text.
    :param unknown: whether ``<unk>`` may stand in a hole.
    :raises UserError: for a text without a hole that is no prompt, and for a word that is not in
        the vocabulary.
    """
    masks = _Masks(tokenizer, unknown)
    runs: list[tuple[int, ...]] = []
    holes: list[Hole] = []
    start = 0
    for match in _HOLE.finditer(text):
        before, start = text[start : match.start()], match.end()
        is_word = match[1] is not None
        has_space = before[-1:].isspace()
        if not is_word or masks.spaces_begin_words:
            before = before.rstrip()
        run = _ids(tokenizer, before)
        if not is_word and not run and holes and holes[-1].may_be_empty:
            continue
        runs.append(run)
        holes.append(
            masks.word(has_space, is_first=not runs[:-1] and not run) if is_word else masks.gap()
        )
    rest = text[start:].rstrip()
    if is_prompt:
        runs.append(_ids(tokenizer, rest))
        holes.append(masks.gap())
        rest = ""
    runs.append((*_ids(tokenizer, rest), EOS))
    return Template(tuple(runs), tuple(holes))


class _Masks:
    """Which tokens may stand in a hole, by how they are spelled.

    spaces_begin_words
        Whether the space before a word is the beginning of its first token, as in byte-level BPE,
        not a token of its own, as with characters.
    """

    def __init__(self, tokenizer: Tokenizer, unknown: bool) -> None:
        # Byte-level vocabularies write a space and other control characters as letters.
        self.text_begins_with_space = any(word.startswith("▁") for word in tokenizer.vocabulary)
        marks = str.maketrans("Ġ▁ĉĊċČč", "  \t\n\v\f\r")
        self.are_words = tokenizer.tokens_are_words
        vocabulary = tokenizer.vocabulary
        self.texts = (
            vocabulary if self.are_words else [word.translate(marks) for word in vocabulary]
        )
        self.spaces_begin_words = not self.are_words and any(
            text[0] == " " and len(text) > 1 for text in self.texts
        )
        self.has_continuations = not self.are_words and any(t.startswith("##") for t in self.texts)
        self.emitted = torch.ones(len(vocabulary), dtype=torch.bool)
        self.emitted[: len(SPECIAL_TOKENS)] = False
        self.emitted[UNK] = unknown

    def gap(self) -> Hole:
        """Any tokens, or none."""
        return Hole(self.emitted, self.emitted, may_be_empty=True)

    def word(self, has_space: bool, is_first: bool) -> Hole:
        """One word.

        :param has_space: whether there is a space before it.
        :param is_first: whether it begins the sentence, where some tokenizers put a space too.
        """
        if self.are_words:
            return Hole(self.emitted)
        if self.has_continuations:
            further = self._where(lambda text: text.startswith("##"))
            return Hole(self.emitted & ~further, further)
        whole = self._where(lambda text: not any(map(str.isspace, text)))
        glued = not has_space and not (is_first and self.text_begins_with_space)
        if not self.spaces_begin_words or glued:
            return Hole(whole, whole)
        begins = self._where(
            lambda text: text[0] == " " and len(text) > 1 and not any(map(str.isspace, text[1:]))
        )
        if is_first and self.text_begins_with_space:
            return Hole(begins | whole, whole)
        return Hole(begins, whole)

    def _where(self, holds: Callable[[str], bool]) -> Tensor:
        return self.emitted & torch.tensor([holds(text) for text in self.texts])


def _ids(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    return tuple(known_ids(tokenizer, _ESCAPE.sub("", text)))
