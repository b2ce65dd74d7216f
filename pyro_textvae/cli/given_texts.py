# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts of the user's own: from arguments, a file or standard input, with their source."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyro_textvae.cli.sentences import (
    is_conditional,
    read_sources,
    read_texts,
    repeated_sources,
)
from pyro_textvae.contract import TOKENS
from pyro_textvae.data import Tokenizer, pad
from pyro_textvae.data.known_words import known_ids
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import EOS


def given_texts(
    command: str, texts: Sequence[str], text_file: str | None, kind: str = "sentence"
) -> list[str]:
    """The texts of the arguments, or the lines of a file that hold anything.

    :param kind: what a text is, for the message.
    :raises UserError: for both, for neither, and for a file that cannot be read or has no line.
    """
    if texts and text_file is not None:
        raise UserError(
            f"{command}: the arguments and text_file both give a {kind}: leave one of them out"
        )
    if text_file is not None:
        return read_texts(text_file, kind)
    if not texts:
        raise UserError(
            f"{command} needs a {kind}: pyro-textvae {command} RUN TEXT, or --text-file FILE, - "
            "for standard input"
        )
    return list(texts)


def known_row(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a sentence that end in ``<eos>``, all of whose words the model knows.

    :raises UserError: for a word that it does not know, with the nearest, and for no word.
    """
    ids = known_ids(tokenizer, text)
    if not ids:
        raise UserError(f"the sentence {text!r} is empty: give at least one word")
    return [*ids, EOS]


def fields_beside(
    model: nn.Module, guide: nn.Module, tokenizer: Tokenizer, run: str, source: str | None
) -> dict[str, Tensor]:
    """What one sentence is conditioned on, a row of each field; none for a model of text alone.

    :raises UserError: for a source that the model does not take, and for none where it needs one.
    """
    sources = read_sources(model, run, source, None)
    if sources:
        return repeated_sources(tokenizer, sources, 1)
    if is_conditional(model) or is_conditional(guide):
        raise UserError(
            f"the programs of {run} need more than a text of your own, such as its source: give "
            "--source"
        )
    return {}


def batch_with(rows: Sequence[list[int]], fields: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch of these sentences, each with the one row of every field."""
    repeated = {name: value.expand(len(rows), *value.shape[1:]) for name, value in fields.items()}
    return {TOKENS: pad([torch.tensor(row).tolist() for row in rows]), **repeated}
