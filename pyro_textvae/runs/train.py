# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Train a run from its settings, and go on with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyro
from pyro.infer import ELBO
from torch import nn

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.infer.running import find_device
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import (
    build_objective,
    build_pair,
    build_procedure,
    check_options,
)
from pyro_textvae.runs.load import (
    default_specs,
    load_corpus_of,
    load_run_corpus,
    sizes_of,
    stored_specs,
)
from pyro_textvae.testing import check_pair
from pyro_textvae.training import Progress, Trainer


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    overwrite: bool = False,
    report: Callable[[str], None] = print,
) -> Progress:
    """Train a run from its settings into the folder ``out``.

    :raises UserError: for anything the user can mend; nothing is overwritten before the corpus,
        the model and the objective are known to be sound.
    """
    device = find_device(config.device)
    corpus = load_corpus_of(config)
    sizes = sizes_of(corpus)
    with pyro.settings.context(module_local_params=True):
        pyro.set_rng_seed(config.seed)
        used: set[str] = set()
        model, guide, specs = build_pair(default_specs(config), config, sizes, used)
        modules = nn.ModuleDict({"model": model, "guide": guide}).to(device)
        objective = build_objective(config, corpus, used)
        procedure = build_procedure(config, used)
        check_options(config, specs, used)
        _dry_run(model, guide, objective, corpus)
        sources = _read_sources({**specs, "tokenizer": config.tokenizer})
        folder = RunFolder(out)
        # Before anything is written: a procedure may refuse the pair.
        trainer = Trainer(
            model, guide, objective, corpus, config, folder, procedure=procedure, report=report
        )
        folder.create(config.to_dict(), overwrite=overwrite)
        corpus.tokenizer.save(folder.tokenizer)
        folder.write_config(
            config.to_dict(),
            {
                "specs": _keep_sources(specs, sources, folder),
                **_keep_tokenizer_kind(config.tokenizer, sources, folder),
                "sizes": sizes,
                "tokenizer_fingerprint": corpus.tokenizer.fingerprint,
                "corpus_fingerprint": corpus.fingerprint,
                "corpus": corpus.summary(),
                "parameters": sum(p.numel() for p in modules.parameters()),
            },
        )
        report(describe(config, corpus, specs, modules))
        return trainer.fit()


def resume(
    path: str | Path,
    *,
    epochs: int | None = None,
    device: str | None = None,
    report: Callable[[str], None] = print,
) -> Progress:
    """Go on with a run from its last checkpoint, bit for bit.

    :param epochs: train to another number of epochs than the run was started with.
    :raises UserError: when ``path`` is no run, is damaged, or its corpus has changed.
    """
    folder = RunFolder(path)
    stored = folder.read_config()
    changed = {"epochs": epochs, "device": device}
    config = TrainConfig(
        **stored["settings"] | {name: value for name, value in changed.items() if value is not None}
    )
    state = folder.load_state()
    corpus = load_run_corpus(folder, config)
    with pyro.settings.context(module_local_params=True):
        pyro.set_rng_seed(config.seed)
        model, guide, _ = build_pair(stored_specs(stored, folder), config, stored["sizes"])
        nn.ModuleDict({"model": model, "guide": guide}).to(find_device(config.device))
        trainer = Trainer(
            model,
            guide,
            build_objective(config, corpus),
            corpus,
            config,
            folder,
            procedure=build_procedure(config),
            report=report,
        )
        if state is not None:
            try:
                trainer.restore(state)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise UserError(
                    f"{folder.state} belongs to another run: put the run's own back, or train "
                    "again with --overwrite"
                ) from error
        place = trainer.progress
        if place.finished:
            report(f"{folder.path}: stopped early after {place.epoch} epochs, for good")
            return place
        if place.epoch >= config.epochs:
            report(f"{folder.path}: finished after {place.epoch} epochs; --epochs takes it further")
            return place
        if config.epochs != stored["settings"]["epochs"]:
            # So that this resumption, killed in its turn, goes on to the same end.
            built = {k: v for k, v in stored.items() if k not in ("format", "settings")}
            folder.write_config(stored["settings"] | {"epochs": config.epochs}, built)
        report(f"{folder.path}: going on at epoch {place.epoch + 1}, batch {place.batch + 1}")
        return trainer.fit()


def describe(config: TrainConfig, corpus: Corpus, specs: dict[str, str], modules: nn.Module) -> str:
    """What is going to be trained on what, and how many sentences were dropped or cut."""
    count = sum(parameter.numel() for parameter in modules.parameters())
    splits = [corpus.summary()[name] for name in ("train", "valid", "test")]
    dropped = sum(split["dropped_too_long"] for split in splits)
    cut = sum(split["truncated"] for split in splits)
    left_out = f"\n{dropped:,} sentences of more than {config.max_length} tokens left out"
    shortened = f"\n{cut:,} sentences cut to {config.max_length} tokens"
    line = (
        f"{config.data}: {len(corpus.train):,} / {len(corpus.valid):,} / {len(corpus.test):,} "
        f"sentences, {len(corpus.tokenizer):,} types; {specs['model']} with guide "
        f"{specs['guide']}, {count:,} parameters, {config.objective}"
    )
    return line + (left_out if dropped else "") + (shortened if cut else "")


def _read_sources(specs: dict[str, str]) -> dict[str, bytes]:
    """Files of the user's own, read before a run that may hold them is replaced."""
    places = {name: spec.partition(":")[0] for name, spec in specs.items()}
    return {n: Path(place).read_bytes() for n, place in places.items() if place.endswith(".py")}


def _keep_sources(
    specs: dict[str, str], sources: dict[str, bytes], folder: RunFolder
) -> dict[str, str]:
    """Copy files of the user's own into the run, so that it can be loaded wherever it goes."""
    kept = {}
    for name, spec in specs.items():
        place, colon, class_name = spec.partition(":")
        if name in sources:
            copy = folder.path / "source" / name / Path(place).name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(sources[name])
            spec = copy.relative_to(folder.path).as_posix() + colon + class_name
        kept[name] = spec
    return kept


def _keep_tokenizer_kind(spec: str, sources: dict[str, bytes], folder: RunFolder) -> dict[str, str]:
    """What names a tokenizer of the user's own; of the catalogue's, tokenizer.json says which."""
    kept = _keep_sources({"tokenizer": spec}, sources, folder)["tokenizer"]
    return {"tokenizer_kind": kept} if "tokenizer" in sources else {}


def _dry_run(model: nn.Module, guide: nn.Module, objective: ELBO, corpus: Corpus) -> None:
    """Run one small batch with every check of Pyro on, before anything is written."""
    batch = next(iter(corpus.batches("train", batch_size=2, shuffle=False)))
    check_pair(model, guide, objective, batch)
