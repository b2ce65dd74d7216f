# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a run folder holds, loaded again: model, guide, tokenizer and corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus, Tokenizer, load_corpus
from pyro_textvae.data.corpus_files import matching
from pyro_textvae.data.data_file import format_of
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.source import is_relative_path
from pyro_textvae.data.sources.text_files import TextFiles
from pyro_textvae.displayed import Displayed
from pyro_textvae.errors import UserError
from pyro_textvae.infer.running import find_device
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import PARTS, Pair, build_pair
from pyro_textvae.runs.code import OwnCode, check_trusted, copy_in_run, own_code

_KINDS = {"model": "models", "guide": "guides", **PARTS}
"""The kind of each part of a run."""

SAVE_RUN, REFIT = "save_run", "refit"
"""What config.json has as ``made_by`` of a run that was not trained by ``train``."""


@dataclass(frozen=True, repr=False)
class StoredRun(Displayed):
    """What config.json of a run says, read once.

    Whatever could execute code from outside the catalogue is refused where it is asked for, unless
    this user's own ``train`` made the run.

    contents
        All of the file.
    trust_code
        Execute it whoever made the run.
    """

    folder: RunFolder
    config: TrainConfig
    sizes: dict[str, int]
    contents: dict[str, Any]
    trust_code: bool = False

    def _shown(self) -> dict[str, Any]:
        corpus = self.contents.get("corpus", {})
        return {
            "folder": str(self.folder),
            **self.contents["specs"],
            "text": corpus.get("source"),
            "parameters": self.contents.get("parameters"),
            "made by": self.made_by or "train",
        }

    @property
    def specs(self) -> dict[str, str]:
        """The name of each part; files of the user's own are the copies in the run's folder.

        :raises UserError: for a part that may not be executed.
        """
        self._check(self._parts)
        return {setting: spec for setting, (_, spec) in self._parts.items()}

    @property
    def made_by(self) -> str | None:
        """What made it, if it was not ``train``."""
        return self.contents.get("made_by")

    @property
    def label_names(self) -> list[str] | None:
        """The labels that it was trained with, in the order of their indices; None for none."""
        return self.contents.get("corpus", {}).get("label_names")

    @property
    def tokenizer_kind(self) -> str | None:
        """The copy that it keeps of a kind of tokenizer of the user's own; None for no such.

        :raises UserError: when it may not be executed.
        """
        if self.contents.get("tokenizer_kind") is None:
            return None
        self._check({"tokenizer": self._tokenizer})
        return self._tokenizer[1]

    @property
    def text_config(self) -> TrainConfig:
        """The settings of its corpus, which is as the run's own tokenizer encodes it.

        Of a run from before there was the setting, the normal form of Unicode is that of its
        tokenizer.json, every quote is a character, and a source without a word is kept.

        :raises UserError: for a source or a tokenizer that may not be executed.
        """
        self._check({"tokenizer": self._tokenizer, "data": ("sources", self.config.data)})
        settings, changes = self.contents["settings"], dict[str, Any]()
        if self._tokenizer[1] != self.config.tokenizer:
            changes["tokenizer"] = self._tokenizer[1]
        if "unicode_form" not in settings:
            changes["unicode_form"] = load_tokenizer(self).unicode_form
        if "quotes" not in settings and _reads_tsv(self.config.data):
            changes["quotes"] = "literal"
        if "empty_pairs" not in settings and self.config.source_column is not None:
            changes["empty_pairs"] = "keep"
        return replace(self.config, **changes) if changes else self.config

    @property
    def training_config(self) -> TrainConfig:
        """The settings that it was trained with.

        :raises UserError: for an objective, or another part of training, that may not be executed.
        """
        self._check(self._of_training)
        return self.config

    @property
    def own_code(self) -> list[OwnCode]:
        """All that it names from outside the catalogue.

        :raises UserError: for what lies outside of its folder, or is not there.
        """
        text = {"tokenizer": self._tokenizer, "data": ("sources", self.config.data)}
        return self._own_code({**self._parts, **text, **self._of_training})

    @property
    def _parts(self) -> dict[str, tuple[str, str]]:
        """The kind and the name of each part."""
        path = self.folder.path
        return {
            setting: (_KINDS[setting], copy_in_run(path, setting, spec))
            for setting, spec in self.contents["specs"].items()
        }

    @property
    def _tokenizer(self) -> tuple[str, str]:
        kept = self.contents.get("tokenizer_kind")
        if kept is None:
            return "tokenizers", self.config.tokenizer
        return "tokenizers", copy_in_run(self.folder.path, "tokenizer", kept)

    @property
    def _of_training(self) -> dict[str, tuple[str, str]]:
        config = self.config
        # An objective without a KL weight has no schedule either, but the name is checked.
        named = {
            "objective": ("objectives", config.objective),
            "constraint": ("constraints", config.constraint),
            "procedure": ("procedures", config.procedure),
            "kl_schedule": ("kl_schedules", config.kl_schedule),
            **{f"auxiliary {spec}": ("auxiliaries", spec) for spec in config.auxiliaries},
        }
        return {name: (kind, spec) for name, (kind, spec) in named.items() if spec is not None}

    def _check(self, named: Mapping[str, tuple[str, str]]) -> None:
        check_trusted(self._own_code(named), trust_code=self.trust_code)

    def _own_code(self, named: Mapping[str, tuple[str, str]]) -> list[OwnCode]:
        path, options = self.folder.path, self.config.options
        if self.config.auxiliaries:
            options = {**options, "auxiliaries": self.config.auxiliaries}
        code = [own_code(path, kind, name, spec, options) for name, (kind, spec) in named.items()]
        return [each for each in code if each is not None]


def read_run(path: str | Path | RunFolder, *, trust_code: bool = False) -> StoredRun:
    """Read what config.json of a run says.

    :param trust_code: see :func:`load_run`.
    :raises UserError: when ``path`` is no run, or the file is damaged.
    """
    folder = RunFolder.of(path)
    contents = folder.read_config()
    specs, sizes = contents["specs"], contents["sizes"]
    kind = contents.get("tokenizer_kind")
    if not (
        _is_mapping(specs, str)
        and _is_mapping(sizes, int)
        and set(specs) <= set(_KINDS)
        and {"model", "guide"} <= set(specs)
        and (kind is None or isinstance(kind, str))
    ):
        raise UserError(f"{folder.config_json} is damaged (specs, sizes): train the run again")
    return StoredRun(folder, folder.read_settings(), sizes, contents, trust_code)


def _reads_tsv(data: str) -> bool:
    """Whether the text is files of the user's own, a TSV among them."""
    if data.partition(":")[0] in zoo.names("sources"):
        return False
    try:
        return any(format_of(file) == ".tsv" for file in TextFiles(data).files)
    except UserError:
        return False


def _is_mapping(value: Any, kind: type) -> bool:
    return isinstance(value, dict) and all(isinstance(each, kind) for each in value.values())


def load_run(
    path: str | Path | RunFolder, *, device: str = "cpu", trust_code: bool = False
) -> tuple[nn.Module, nn.Module, Tokenizer]:
    """Model, guide and tokenizer of a run, with the weights it kept, in evaluation mode.

    :param trust_code: execute what the run names from outside the catalogue: files of its folder
        ``source`` and classes of installed packages. Each is named on standard error, with its
        hash. Runs that this user's own ``train`` made need it only when moved or changed.
    :raises UserError: when ``path`` is no run, a file is damaged, the tokenizer is another's, or
        the run names code that is not trusted.
    """
    run = read_run(path, trust_code=trust_code)
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
    tokenizer.copies_unknown_words = run.config.copy_unknown_words
    return tokenizer


def load_pair(run: StoredRun, *, device: str = "cpu") -> Pair:
    """Model and guide of a run, with the weights it kept, in evaluation mode.

    :raises UserError: when the file of weights is missing, damaged or another run's, or holds NaN.
    """
    target = find_device(device)
    pair = build_pair(run.config, run.sizes, tokenizer=load_tokenizer(run), specs=run.specs)
    modules = pair.modules
    run.folder.load_weights(modules)
    _check_weights(run, modules)
    modules.to(target).eval()
    return pair


def _check_weights(run: StoredRun, modules: nn.Module) -> None:
    """Refuse weights that make every number NaN."""
    for name, parameter in modules.named_parameters():
        missing = int(parameter.isnan().sum())
        if missing:
            raise UserError(
                f"{missing:,} of {parameter.numel():,} numbers of the weight {name} of "
                f"{run.folder.path} are NaN, so nothing can be computed with it: train it anew, "
                "with a smaller learning rate or a smaller clip_norm"
            )


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
        max_source_length=config.max_source_length,
        max_sentences=config.max_sentences,
        min_count=1 if tokenizer else config.min_count,
        vocab_size=None if tokenizer else config.vocab_size,
        unicode_form=None if tokenizer else config.unicode_form,
        quotes=config.quotes,
        source_turns=config.source_turns,
        copy_unknown_words=config.copy_unknown_words,
        empty_pairs=None if config.empty_pairs == "refuse" else config.empty_pairs,
        truncate=config.truncate,
        text_column=config.text_column,
        source_column=config.source_column,
        label_column=config.label_column,
        document_column=config.document_column,
        label_names=label_names,
        labelled_share=config.labelled_share,
        labelled_seed=labelled_seed_of(config),
        unlabelled=config.unlabelled,
        file_split=file_split,
        num_sentences=config.num_sentences,
        data_options=config.data_options,
    )


def labelled_seed_of(config: TrainConfig) -> int:
    """What says which labels stay: by default the seed of the run, as far as any are hidden."""
    if config.labelled_seed is not None:
        return config.labelled_seed
    return 0 if config.labelled_share is None else config.seed


def load_run_corpus(run: RunFolder | StoredRun, *, trust_code: bool = False) -> Corpus:
    """The corpus that a run was trained on.

    :param trust_code: see :func:`load_run`; a :class:`StoredRun` has its own.
    :raises UserError: when the text has changed since, or is not to be found from this folder.
    """
    stored = run if isinstance(run, StoredRun) else read_run(run, trust_code=trust_code)
    _check_still_there(stored)
    fingerprint = stored.contents["corpus_fingerprint"]
    if fingerprint is None:
        raise UserError(
            f"{stored.folder.path} was saved without a corpus: give the text (evaluate --data "
            "TEXT, reconstruct --text, sample --source), or save it with corpus="
        )
    given = load_tokenizer(stored) if stored.contents.get("tokenizer_was_given") else None
    corpus = load_corpus_of(stored.text_config, given)
    if corpus.fingerprint != fingerprint:
        raise UserError(
            f"the corpus {stored.config.data} is not the one that {stored.folder.path} was "
            f"trained on: its fingerprint is {corpus.fingerprint}, the run's {fingerprint}; bring "
            "the old text back or train anew"
        )
    return corpus


def _check_still_there(run: StoredRun) -> None:
    """Refuse a relative path of a run's text that leads nowhere from the working folder.

    :raises UserError: with the folder that it was looked for in.
    """
    data = run.config.data
    if is_relative_path(data) and not (Path(data).exists() or matching(data)):
        raise UserError(
            f"{run.folder.path} was trained on {data}, a path relative to the folder that train "
            f"was started in, and there is none in {Path.cwd()}: start the command in that folder"
        )
