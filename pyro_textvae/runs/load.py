# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs as a whole: build from settings, train, resume, load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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


def load_run(path: str | Path, *, device: str = "cpu") -> tuple[nn.Module, nn.Module, Tokenizer]:
    """Model, guide and tokenizer of a run, with the weights it kept, in evaluation mode.

    :raises UserError: when ``path`` is no run, a file is damaged, or the tokenizer is another's.
    """
    folder = RunFolder(path)
    stored = folder.read_config()
    tokenizer = Tokenizer.load(folder.tokenizer, _tokenizer_copy(stored, folder))
    if tokenizer.fingerprint != stored["tokenizer_fingerprint"]:
        raise UserError(
            f"{folder.tokenizer} does not belong to the model of {folder.path}: its fingerprint is "
            f"{tokenizer.fingerprint}, the model's {stored['tokenizer_fingerprint']}; put the "
            "run's own tokenizer.json back"
        )
    target = find_device(device)
    with pyro.settings.context(module_local_params=True):
        config = TrainConfig(**stored["settings"])
        model, guide, _ = build_pair(stored_specs(stored, folder), config, stored["sizes"])
        modules = nn.ModuleDict({"model": model, "guide": guide})
        folder.load_weights(modules)
        modules.to(target).eval()
    return model, guide, tokenizer


def load_corpus_of(
    config: TrainConfig,
    tokenizer: Tokenizer | None = None,
    label_names: Sequence[str] | None = None,
) -> Corpus:
    """The corpus of the settings.

    :param tokenizer: of a trained model, whose ids the text is to be in.
    :param label_names: of a trained model, in the order of their indices.
    """
    return load_corpus(
        config.data,
        tokenizer=tokenizer or config.tokenizer,
        max_length=config.max_length,
        min_count=1 if tokenizer else config.min_count,
        vocab_size=None if tokenizer else config.vocab_size,
        truncate=config.truncate,
        text_column=config.text_column,
        source_column=config.source_column,
        label_column=config.label_column,
        label_names=label_names,
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


def label_names_of(stored: dict[str, Any]) -> list[str] | None:
    """The labels that a run was trained with, in the order of their indices; None for none."""
    return stored.get("corpus", {}).get("label_names")


def _tokenizer_copy(stored: dict[str, Any], folder: RunFolder) -> str | None:
    """The copy that a run keeps of a kind of tokenizer of the user's own; None for no such."""
    spec = stored.get("tokenizer_kind")
    return None if spec is None else str(folder.path / spec)


def load_run_corpus(folder: RunFolder, config: TrainConfig | None = None) -> Corpus:
    """The corpus that a run was trained on.

    :raises UserError: when the text has changed since.
    """
    stored = folder.read_config()
    config = config or TrainConfig(**stored["settings"])
    config = replace(config, tokenizer=_tokenizer_copy(stored, folder) or config.tokenizer)
    corpus = load_corpus_of(config)
    if corpus.fingerprint != stored["corpus_fingerprint"]:
        raise UserError(
            f"the corpus {stored['settings']['data']} is not the one that {folder.path} was "
            f"trained on: its fingerprint is {corpus.fingerprint}, the run's "
            f"{stored['corpus_fingerprint']}; bring the old text back or train anew"
        )
    return corpus
