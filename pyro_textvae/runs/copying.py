# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What copying does with the words of a corpus, and what it takes."""

from __future__ import annotations

from torch import nn

from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.nn import Decoder


def copies(model: nn.Module) -> bool:
    """Whether a part of a model copies words of a source."""
    return any(getattr(module, "copying", False) for module in model.modules())


def refuse_without_copying(model: nn.Module, corpus: Corpus) -> None:
    """Refuse ids beyond the vocabulary for a model that would have no probability for them.

    :raises UserError: saying what to give.
    """
    if corpus.tokenizer.copies_unknown_words and not copies(model):
        advice = "give --options '{\"copying\": true}'"
        if not any(isinstance(module, Decoder) for module in model.modules()):
            advice = "give it a decoder built with copying=True"
        raise UserError(
            f"copy_unknown_words is for a decoder that copies, and that of {type(model).__name__} "
            f"does not: {advice}, or leave it out"
        )


def warnings_of_copying(model: nn.Module, corpus: Corpus) -> list[str]:
    """What copying does where a token is not a word."""
    if not copies(model) or corpus.tokenizer.tokens_are_words:
        return []
    return [
        f"copying takes tokens of the {corpus.tokenizer.kind} tokenizer, which are parts of words: "
        "a word that training never had can be copied part by part, and a word cut short too; "
        "--tokenizer word copies whole words"
    ]
