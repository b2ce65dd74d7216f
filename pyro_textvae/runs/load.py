# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs as a whole: build from settings, train, resume, load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyro
from torch import nn

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus, Tokenizer, load_corpus
from pyro_textvae.errors import UserError
from pyro_textvae.infer.running import find_device
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import (
    PARTS,
    build_pair,
)


def load_run(
    path: str | Path | RunFolder, *, device: str = "cpu"
) -> tuple[nn.Module, nn.Module, Tokenizer]:
    """Model, guide and tokenizer of a run, with the weights it kept, in evaluation mode.

    :raises UserError: when ``path`` is no run, a file is damaged, or the tokenizer is another's.
    """
    folder = RunFolder.of(path)
    stored = folder.read_config()
    tokenizer = Tokenizer.load(folder.tokenizer)
    if tokenizer.fingerprint != stored["tokenizer_fingerprint"]:
        raise UserError(
            f"{folder.tokenizer} does not belong to the model of {folder.path}: its fingerprint is "
            f"{tokenizer.fingerprint}, the model's {stored['tokenizer_fingerprint']}; put the "
            "run's own tokenizer.json back"
        )
    target = find_device(device)
    with pyro.settings.context(module_local_params=True):
        config = folder.read_settings()
        model, guide, _ = build_pair(stored_specs(stored, folder), config, stored["sizes"])
        modules = nn.ModuleDict({"model": model, "guide": guide})
        folder.load_weights(modules)
        modules.to(target).eval()
    return model, guide, tokenizer


def load_corpus_of(config: TrainConfig, tokenizer: Tokenizer | None = None) -> Corpus:
    """The corpus of the settings; with ``tokenizer``, its text in another's ids."""
    return load_corpus(
        config.data,
        tokenizer=tokenizer or config.tokenizer,
        max_length=config.max_length,
        min_count=1 if tokenizer else config.min_count,
        vocab_size=None if tokenizer else config.vocab_size,
        truncate=config.truncate,
        text_column=config.text_column,
        num_sentences=config.num_sentences,
    )


def sizes_of(corpus: Corpus) -> dict[str, int]:
    """What a corpus says of the sizes of a model."""
    return {"vocab_size": len(corpus.tokenizer), "max_length": corpus.max_length}


def default_specs(config: TrainConfig) -> dict[str, str | None]:
    """What the settings name of each part."""
    return {name: getattr(config, name) for name in ("model", "guide", *PARTS)}


def stored_specs(stored: dict[str, Any], folder: RunFolder) -> dict[str, str | None]:
    """Specs of a run; files of the user's own are read from the copy in the run's folder."""
    return {
        name: str(folder.path / spec) if spec.startswith("source/") else spec
        for name, spec in stored["specs"].items()
    }


def load_run_corpus(folder: RunFolder, config: TrainConfig | None = None) -> Corpus:
    """The corpus that a run was trained on.

    :raises UserError: when the text has changed since.
    """
    stored = folder.read_config()
    corpus = load_corpus_of(config or folder.read_settings())
    if corpus.fingerprint != stored["corpus_fingerprint"]:
        raise UserError(
            f"the corpus {stored['settings']['data']} is not the one that {folder.path} was "
            f"trained on: its fingerprint is {corpus.fingerprint}, the run's "
            f"{stored['corpus_fingerprint']}; bring the old text back or train anew"
        )
    return corpus
