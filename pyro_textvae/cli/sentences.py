# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences that a command starts from, and their text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.data import Tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.infer.simulate import named_fields
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.load import load_run_corpus
from pyro_textvae.special_tokens import EOS, PAD

# All that str.splitlines, and so many a reader of our output, takes for the end of a line.
_LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def encode_text(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of the user's sentence, ending in ``<eos>``.

    :raises UserError: for text without a word.
    """
    ids = tokenizer.encode(text)
    if not ids:
        raise UserError(f"the sentence {text!r} is empty: give at least one word")
    return [*ids, EOS]


def decode_row(tokenizer: Tokenizer, row: list) -> str:
    """The text of a row of ids in one line: line breaks are escaped as Python writes them.

    Of rows of rows, as a conversation has, the texts are set apart by bars.
    """
    if row and isinstance(row[0], list):
        return " | ".join(decode_row(tokenizer, part) for part in row)
    return _LINE_BREAK.sub(
        lambda match: match[0].encode("unicode_escape").decode(), tokenizer.decode(row)
    )


def without_padding(row: Tensor) -> list[int]:
    """The ids of a row as the corpus has it."""
    return [index for index in row.tolist() if index != PAD]


def is_conditional(program: nn.Module) -> bool:
    """Whether a program names a field of a batch besides its tokens, such as a source."""
    return bool(set(named_fields(program)) - {TOKENS, "size"})


def pick_sentences(
    path: str | Path, split: str, size: int, seed: int, *, trust_code: bool = False
) -> Mapping[str, Tensor]:
    """A batch of sentences of a split of a run's corpus, the same for the same seed."""
    sentences = load_run_corpus(RunFolder(path), trust_code=trust_code).split(split)
    generator = torch.Generator().manual_seed(seed)
    return sentences.batch(torch.randperm(len(sentences), generator=generator)[:size].numpy())


def first_sentences(
    path: str | Path, split: str, size: int, *, trust_code: bool = False
) -> Mapping[str, Tensor]:
    """A batch of the first sentences of a split of a run's corpus.

    :raises UserError: for more sentences than the split has.
    """
    sentences = load_run_corpus(RunFolder(path), trust_code=trust_code).split(split)
    if size > len(sentences):
        raise UserError(
            f"the {split} split of {path} has {len(sentences)} sentences to take sources from: "
            f"give a --size of at most that, got {size}"
        )
    return sentences.batch(np.arange(size))
