# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a run folder holds, loaded again: model, guide, tokenizer and corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus, Tokenizer, load_corpus
from pyro_textvae.data.records import SplitName
from pyro_textvae.errors import UserError
from pyro_textvae.infer.running import find_device
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import Pair, build_pair


@dataclass(frozen=True)
class StoredRun:
    """What config.json of a run says, read once.

    specs
        The name of each part; files of the user's own are the copies in the run's folder.
    contents
        All of the file.
    """

    folder: RunFolder
    config: TrainConfig
    specs: dict[str, str]
    sizes: dict[str, int]
    contents: dict[str, Any]

    @property
    def label_names(self) -> list[str] | None:
        """The labels that it was trained with, in the order of their indices; None for none."""
        return self.contents.get("corpus", {}).get("label_names")

    @property
    def tokenizer_kind(self) -> str | None:
        """The copy that it keeps of a kind of tokenizer of the user's own; None for no such."""
        kind = self.contents.get("tokenizer_kind")
        return None if kind is None else str(self.folder.path / kind)


def read_run(path: str | Path | RunFolder) -> StoredRun:
    """Read what config.json of a run says.

    :raises UserError: when ``path`` is no run, or the file is damaged.
    """
    folder = RunFolder.of(path)
    contents = folder.read_config()
    specs = {
        name: str(folder.path / spec) if spec.startswith("source/") else spec
        for name, spec in contents["specs"].items()
    }
    return StoredRun(folder, folder.read_settings(), specs, contents["sizes"], contents)


def load_run(
    path: str | Path | RunFolder, *, device: str = "cpu"
) -> tuple[nn.Module, nn.Module, Tokenizer]:
    """Model, guide and tokenizer of a run, with the weights it kept, in evaluation mode.

    :raises UserError: when ``path`` is no run, a file is damaged, or the tokenizer is another's.
    """
    run = read_run(path)
    tokenizer = load_tokenizer(run)
    pair = load_pair(run, device=device)
    return pair.model, pair.guide, tokenizer


def load_tokenizer(run: StoredRun) -> Tokenizer:
    """The tokenizer that a run was trained with.

    :raises UserError: when the file is damaged, or another run's.
    """
    path, fingerprint = run.folder.tokenizer, run.contents["tokenizer_fingerprint"]
    tokenizer = Tokenizer.load(path, run.tokenizer_kind)
    if tokenizer.fingerprint != fingerprint:
        raise UserError(
            f"{path} does not belong to the model of {run.folder.path}: its fingerprint is "
            f"{tokenizer.fingerprint}, the model's {fingerprint}; put the run's own "
            "tokenizer.json back"
        )
    return tokenizer


def load_pair(run: StoredRun, *, device: str = "cpu") -> Pair:
    """Model and guide of a run, with the weights it kept, in evaluation mode.

    :raises UserError: when the file of weights is missing, damaged or another run's.
    """
    target = find_device(device)
    pair = build_pair(run.config, run.sizes, specs=run.specs)
    modules = pair.modules
    run.folder.load_weights(modules)
    modules.to(target).eval()
    return pair


def load_corpus_of(
    config: TrainConfig,
    tokenizer: Tokenizer | None = None,
    label_names: Sequence[str] | None = None,
    file_split: SplitName | None = None,
) -> Corpus:
    """The corpus of the settings.

    :param tokenizer: of a trained model, whose ids the text is to be in.
    :param label_names: of a trained model, in the order of their indices.
    :param file_split: the split that all of a single file goes into.
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
        file_split=file_split,
        num_sentences=config.num_sentences,
    )


def load_run_corpus(run: RunFolder | StoredRun) -> Corpus:
    """The corpus that a run was trained on.

    :raises UserError: when the text has changed since.
    """
    stored = run if isinstance(run, StoredRun) else read_run(run)
    config = stored.config
    if stored.tokenizer_kind is not None:
        config = replace(config, tokenizer=stored.tokenizer_kind)
    corpus = load_corpus_of(config)
    fingerprint = stored.contents["corpus_fingerprint"]
    if corpus.fingerprint != fingerprint:
        raise UserError(
            f"the corpus {stored.config.data} is not the one that {stored.folder.path} was "
            f"trained on: its fingerprint is {corpus.fingerprint}, the run's {fingerprint}; bring "
            "the old text back or train anew"
        )
    return corpus
