# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A corpus that a program gives, as the settings of a run bring it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus, Tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.runs.arguments import size_told
from pyro_textvae.runs.load import load_corpus_of
from pyro_textvae.runs.spec_of import spec_of


def settings_of_corpus(corpus: Corpus) -> dict[str, Any]:
    """What it was loaded by, without a tokenizer that was given as an object."""
    return {
        name: value
        for name, value in corpus.settings.items()
        if name != "tokenizer" or isinstance(value, str)
    }


def tokenizer_kind_of(tokenizer: Tokenizer, corpus: Corpus | None) -> str:
    """The name of the kind of tokenizer, or the file and class of one of the user's own."""
    named = None if corpus is None else corpus.settings["tokenizer"]
    if isinstance(named, str):
        return named
    return spec_of("tokenizers", tokenizer.kind_class, tokenizer.pretrained_path)


def was_given_tokenizer(corpus: Corpus) -> bool:
    """Whether its tokenizer is one that was given as an object, which no setting can name."""
    return not isinstance(corpus.settings["tokenizer"], str)


def check_loads_again(corpus: Corpus, config: TrainConfig) -> None:
    """Refuse a corpus that the settings of a run would not bring back.

    :raises UserError: with what it must be loaded without.
    """
    tokenizer = corpus.tokenizer if was_given_tokenizer(corpus) else None
    if load_corpus_of(config, tokenizer).fingerprint != corpus.fingerprint:
        raise UserError(
            f"the corpus {corpus.settings['data']} cannot be loaded again as it is by the settings "
            "of a run: load it without seed=, label_names= and file_split=, or leave corpus= out"
        )


def sizes_of_pair(
    modules: Mapping[str, nn.Module],
    tokenizer: Tokenizer,
    corpus: Corpus | None,
    max_length: int | None = None,
) -> dict[str, int]:
    """What a run has from its text, which must be what the pair was built with.

    :param modules: model and guide.
    :param max_length: tokens of the longest sentence; by default what the decoder tells.
    :raises UserError: for a tokenizer that is not of the corpus, or not of the pair.
    """
    if corpus is not None and corpus.tokenizer.fingerprint != tokenizer.fingerprint:
        raise UserError(
            f"the tokenizer ({tokenizer}) is not that of the corpus ({corpus.tokenizer}): give "
            "corpus.tokenizer, and the corpus that the pair was trained on"
        )
    vocab_size = size_told(modules, "vocab_size")
    if vocab_size not in (None, len(tokenizer)):
        raise UserError(
            f"the tokenizer has {len(tokenizer)} tokens, model and guide were built for "
            f"{vocab_size}: give the one that they were trained with"
        )
    told = size_told(modules, "max_length")
    if max_length is None:
        max_length = told or (None if corpus is None else corpus.max_length)
    if max_length is None:
        raise UserError(
            "no part tells its max_length: give max_length=, or keep it as an attribute"
        )
    if told not in (None, max_length):
        raise UserError(f"max_length={max_length} is not that of the decoder, {told}: leave it out")
    return {"vocab_size": len(tokenizer), "max_length": max_length}
