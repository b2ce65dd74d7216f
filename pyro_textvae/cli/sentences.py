# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences that a command starts from."""

from __future__ import annotations

from pathlib import Path

import torch

from pyro_textvae.data import Tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.load import load_run_corpus
from pyro_textvae.special_tokens import EOS


def encode_text(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of the user's sentence, ending in ``<eos>``.

    :raises UserError: for text without a word.
    """
    ids = tokenizer.encode(text)
    if not ids:
        raise UserError(f"the sentence {text!r} is empty: give at least one word")
    return [*ids, EOS]


def pick_sentences(path: str | Path, split: str, size: int, seed: int) -> list[list[int]]:
    """Sentences of a split of a run's corpus, the same for the same seed."""
    corpus = load_run_corpus(RunFolder(path))
    sentences = getattr(corpus, split)
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randperm(len(sentences), generator=generator)[:size]
    return [sentences[int(index)].tolist() for index in indices]
