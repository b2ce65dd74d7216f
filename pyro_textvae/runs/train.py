# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Train a run from its settings, and go on with one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyro
from pyro.infer import ELBO

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.data.given_texts import is_of_given_texts
from pyro_textvae.data.records import SPLITS, SplitName
from pyro_textvae.errors import UserError
from pyro_textvae.infer.running import find_device, require_gradients
from pyro_textvae.processes import launch_name, of_the_first, together
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.files import refuse_link
from pyro_textvae.run_folder.unwritten_folder import folder_of_process
from pyro_textvae.runs.build import Built, Pair, build, build_pair, sizes_of
from pyro_textvae.runs.code import remember
from pyro_textvae.runs.copying import refuse_without_copying, warnings_of_copying
from pyro_textvae.runs.documents import refuse_documents
from pyro_textvae.runs.given_corpus import (
    check_loads_again,
    tokenizer_kind_of,
    was_given_tokenizer,
)
from pyro_textvae.runs.given_pair import copy_of, sizes_of_given
from pyro_textvae.runs.labels import labels_left_unread
from pyro_textvae.runs.load import StoredRun, load_corpus_of, load_run_corpus, read_run
from pyro_textvae.runs.rebuilt import check_rebuilt
from pyro_textvae.runs.settings_files import read_sources, write_what_rebuilds
from pyro_textvae.runs.several_processes import LAUNCH, check_same_run
from pyro_textvae.runs.sources import sources_left_unread
from pyro_textvae.runs.starting_weights import start_again, start_from
from pyro_textvae.testing import check_pair
from pyro_textvae.training import Callback, Progress, Trainer

_START = "start"
"""What config.json has of the run that training began with the weights of."""


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    overwrite: bool = False,
    report: Callable[[str], None] = print,
    callbacks: Sequence[Callback] = (),
    corpus: Corpus | None = None,
    pair: Pair | None = None,
) -> Progress:
    """Train a run from its settings into the folder ``out``.

    A run that ``overwrite`` replaces stays as it is until the first checkpoint of the new one.

    :param callbacks: are told how it goes on.
    :param corpus: the text that the settings describe, where it is loaded already.
    :param pair: programs that are there already, with the names that build such ones; a copy of
        them is trained, which begins with their weights.
    :raises UserError: for anything the user can fix, and when another process is writing the run;
        nothing is written before the corpus, the model and the objective are known to be sound.
    """
    # A device that is not there is refused before text is read, which can take minutes.
    find_device(config.device)
    if corpus is None:
        corpus = load_corpus_of(config)
    else:
        check_loads_again(corpus, config)
    sizes = sizes_of(corpus)
    if pair is not None:
        sizes = sizes_of_given(pair, corpus)
        pair = copy_of(pair, config, sizes, corpus)
    with pyro.settings.context(module_local_params=True):
        built = build(config, corpus, sizes=sizes, pair=pair)
        _dry_run(config, built, corpus, sizes)
        tokenizer_kind = tokenizer_kind_of(corpus.tokenizer, corpus)
        sources = read_sources({**built.specs, "tokenizer": tokenizer_kind})
        folder = folder_of_process(out)
        # Before anything is written: a procedure may refuse the pair.
        trainer = _trainer_of(built, corpus, config, folder, report, callbacks)
        further: dict[str, Any] = {"began_with_given_weights": True} if pair is not None else {}
        start = start_from(built, config, corpus.tokenizer)
        if start is not None:
            further[_START] = {"run": start.run, "weights_sha256": start.weights_sha256}
        announced = describe(config, corpus, built) + (f"\n{start.line}" if start else "")
        if was_given_tokenizer(corpus):
            further["tokenizer_was_given"] = True
        launch = of_the_first(launch_name())
        if launch is not None:
            further[LAUNCH] = launch

        def write(into: RunFolder) -> StoredRun:
            return _write_settings(
                into, config, corpus, built, sizes, sources, tokenizer_kind, further
            )

        with together():
            if folder.is_written:
                folder.check_free(overwrite=overwrite)
        if not folder.is_written:
            return trainer.fit()
        with folder.writing():
            folder.check_free(overwrite=overwrite)
            if not folder.is_run():
                stored = write(folder)
                problem = remember(stored.own_code)
                report(announced + (f"\n{problem}" if problem else ""))
                return trainer.fit()
            # The run that is there stays until the new one has a checkpoint.
            with folder.replacement() as new:
                trainer.move_to(new)
                stored = write(new)
                report(announced)
                trainer.begin()
                folder.replace(new)
            trainer.move_to(folder)
            problem = remember(replace(stored, folder=folder).own_code)
            if problem:
                report(problem)
            return trainer.fit()


def _write_settings(
    folder: RunFolder,
    config: TrainConfig,
    corpus: Corpus,
    built: Built,
    sizes: dict[str, int],
    sources: dict[str, dict[str, bytes]],
    tokenizer_kind: str,
    further: Mapping[str, Any],
) -> StoredRun:
    """Write what rebuilds the pair and the text's ids."""
    folder.create(config.to_dict(), overwrite=False)
    contents = write_what_rebuilds(
        folder,
        config.to_dict(),
        built,
        sizes,
        corpus.tokenizer,
        corpus,
        tokenizer_kind=tokenizer_kind,
        sources=sources,
        **further,
    )
    return StoredRun(folder, config, sizes, contents)


def resume(
    path: str | Path,
    *,
    epochs: int | None = None,
    device: str | None = None,
    trust_code: bool = False,
    report: Callable[[str], None] = print,
    callbacks: Sequence[Callback] = (),
) -> Progress:
    """Go on with a run from its last checkpoint, bit for bit.

    :param epochs: train to another number of epochs than the run was started with.
    :param trust_code: execute what the run names from outside the catalogue, see
        :func:`load_run`; it is remembered, as of a run that was trained here.
    :param callbacks: are told how it goes on.
    :raises UserError: when ``path`` is no run, is damaged or has lost its checkpoint, its corpus
        has changed, or another process is writing the run.
    """
    require_gradients()
    folder = folder_of_process(path)
    if not folder.is_written:
        report, callbacks = _say_nothing, ()
    if not folder.is_run():
        folder.read_config()
    folder.check_files()
    refuse_link(folder.state.parent)
    with folder.writing():
        # The first process may have to clear up what a killed one left.
        of_the_first(None)
        return _resume(folder, epochs, device, trust_code, report, callbacks)


def _resume(
    folder: RunFolder,
    epochs: int | None,
    device: str | None,
    trust_code: bool,
    report: Callable[[str], None],
    callbacks: Sequence[Callback],
) -> Progress:
    run = read_run(folder, trust_code=trust_code)
    if run.made_by is not None:
        raise UserError(
            f"{folder.path} was saved by {run.made_by}, so train knows nothing of how to go on: "
            "train its model and guide further in Python, and save them again"
        )
    changed: dict[str, Any] = {"epochs": epochs, "device": device}
    config = replace(
        run.training_config, **{n: value for n, value in changed.items() if value is not None}
    )
    state = folder.load_state()
    if state is None:
        folder.check_untrained()
    corpus = load_run_corpus(run)
    with pyro.settings.context(module_local_params=True):
        built = build(config, corpus, specs=run.specs, sizes=run.sizes)
        if state is None:
            start_again(built, config, corpus.tokenizer, run.contents.get(_START))
        if trust_code:
            remember(run.own_code)
        trainer = _trainer_of(built, corpus, config, folder, report, callbacks)
        if state is not None:
            try:
                trainer.load_state_dict(state)
            except UserError:
                raise
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
        if config.epochs != run.config.epochs:
            # So that this resumption, killed in its turn, goes on to the same end.
            kept = {k: v for k, v in run.contents.items() if k not in ("format", "settings")}
            folder.write_config(run.contents["settings"] | {"epochs": config.epochs}, kept)
        report(f"{folder.path}: going on at epoch {place.epoch + 1}, batch {place.batch + 1}")
        return trainer.fit()


def describe(config: TrainConfig, corpus: Corpus, pair: Built) -> str:
    """What is going to be trained on what, and how many sentences were dropped or cut."""
    splits = [corpus.summary()[name] for name in SPLITS]
    most, most_of_source = config.max_length, config.max_source_length
    counted = {
        "dropped_too_long": f"sentences of more than {most} tokens left out",
        "truncated": f"sentences cut to {most} tokens",
        "dropped_source_too_long": f"sentences with a source of more than {most_of_source} tokens "
        "left out",
        "sources_truncated": f"sources cut to {most_of_source} tokens",
        "empty_pairs_dropped": "rows without text or source left out",
    }
    counted["copied_unknown_tokens"] = (
        "words of texts outside the vocabulary that their source has, and can be copied"
    )
    most_sentences = config.max_sentences
    counted["dropped_too_many_sentences"] = (
        f"documents of more than {most_sentences} sentences left out"
    )
    counted["documents_cut"] = f"documents cut to {most_sentences} sentences"
    if corpus.has_documents:
        counted["dropped_too_long"] = f"documents with a sentence of more than {most} tokens left "
        counted["dropped_too_long"] += "out"
        counted["truncated"] = f"documents with sentences cut to {most} tokens"
    counts = {name: sum(split.get(name, 0) for split in splits) for name in counted}
    what = "documents" if corpus.has_documents else "sentences"
    source = "the texts given" if is_of_given_texts(config.data) else config.data
    line = (
        f"{source}: {len(corpus.train):,} / {len(corpus.valid):,} / {len(corpus.test):,} "
        f"{what}, {len(corpus.tokenizer):,} types; {pair.specs['model']} with guide "
        f"{pair.specs['guide']}, {pair.num_parameters:,} parameters, {config.objective}"
    )
    repeated = {
        "stand in another split too": {n: corpus.num_in_other_splits(n) for n in SPLITS},
        "came before in the same split": {n: corpus.num_repeated(n) for n in SPLITS},
    }
    warnings = [*corpus.source_warnings, *warnings_of_copying(pair.model, corpus)]
    warnings += sources_left_unread(pair.model, pair.guide, config)
    warnings += labels_left_unread(pair.model, pair.guide, config)
    warnings += _warnings_of_constraint(pair.objective)
    warnings += [text for name in SPLITS for text in corpus.warnings(name)]
    return "".join(
        [
            line,
            *(f"\n{counts[name]:,} {what}" for name, what in counted.items() if counts[name]),
            *(
                f"\n{what} that {where}: {_by_split(numbers)}"
                for where, numbers in repeated.items()
                if any(numbers.values())
            ),
            *(f"\nwarning: {text}" for text in warnings),
        ]
    )


def _warnings_of_constraint(objective: ELBO) -> list[str]:
    """After the dry run, which leaves the terms of a batch with the objective."""
    constraint = getattr(objective, "constraint", None)
    terms = getattr(objective, "latest", None)
    return [] if constraint is None or terms is None else constraint.warnings(terms)


def _by_split(numbers: Mapping[SplitName, int]) -> str:
    return ", ".join(f"{count:,} of {name}" for name, count in numbers.items())


def _dry_run(config: TrainConfig, built: Built, corpus: Corpus, sizes: Mapping[str, int]) -> None:
    """Train on, save and load one small batch with every check on, before anything is written."""
    batch = next(iter(corpus.batches("train", batch_size=2, shuffle=False)))
    refuse_without_copying(built.model, corpus)
    refuse_documents(built.model, batch, config.data)
    check_pair(built.model, built.guide, built.objective, batch, corpus_size=len(corpus.train))
    tokenizer = corpus.tokenizer
    check_rebuilt(
        built, lambda: build_pair(config, sizes, tokenizer=tokenizer, specs=built.specs), batch
    )


def _trainer_of(
    built: Built,
    corpus: Corpus,
    config: TrainConfig,
    folder: RunFolder,
    report: Callable[[str], None],
    callbacks: Sequence[Callback],
) -> Trainer:
    check_same_run(config, corpus)
    if not folder.is_written:
        report, callbacks = _say_nothing, ()
    return Trainer(
        built.model,
        built.guide,
        built.objective,
        corpus,
        config,
        folder,
        procedure=built.procedure,
        report=report,
        callbacks=callbacks,
    )


def _say_nothing(line: str) -> None:
    """The first process reports."""
