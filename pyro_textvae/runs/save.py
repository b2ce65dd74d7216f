# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Save a pair that was trained in Python as a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from pyro.infer import ELBO
from torch import Tensor, nn

from pyro_textvae.config.train import TrainConfig, TrainingConfig
from pyro_textvae.contract import TEXT_SITE, TOKENS
from pyro_textvae.data import Corpus, Tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.infer.simulate import simulate
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.arguments import Described, describe_pair
from pyro_textvae.runs.build import Pair, build_pair, refuse_unused_options
from pyro_textvae.runs.code import remember
from pyro_textvae.runs.given_corpus import (
    check_loads_again,
    settings_of_corpus,
    sizes_of_pair,
    tokenizer_kind_of,
    was_given_tokenizer,
)
from pyro_textvae.runs.load import SAVE_RUN, StoredRun
from pyro_textvae.runs.rebuilt import check_rebuilt
from pyro_textvae.runs.settings_files import read_sources, write_what_rebuilds
from pyro_textvae.runs.spec_of import spec_of


def save_run(
    folder: str | Path | RunFolder,
    model: nn.Module,
    guide: nn.Module,
    tokenizer: Tokenizer,
    *,
    corpus: Corpus | None = None,
    objective: ELBO | None = None,
    config: TrainingConfig | None = None,
    max_length: int | None = None,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Save a pair that was trained in Python, by ``pyro.infer.SVI`` say, as a run.

    :func:`~pyro_textvae.load_run` and the commands ``evaluate``, ``sample``, ``reconstruct``,
    ``interpolate``, ``compare`` and ``report`` take it as one that ``train`` made; ``train
    --resume`` does not. The pair is built anew and compared before anything is written: classes by
    their names, what they were built with by the attributes of those names (``self.hidden_dim``).

    In the folder where a ``Trainer`` has trained this pair, its lines of metrics stay, and so do
    its weights: those of the best validation bound, or of the last epoch, as its ``keep`` says.

    >>> import tempfile
    >>> from pyro_textvae import load_corpus, load_run
    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> corpus = load_corpus("grammar", num_sentences=60)
    >>> sizes = {"vocab_size": len(corpus.tokenizer), "embedding_dim": 4, "hidden_dim": 5}
    >>> decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=corpus.max_length)
    >>> model = SentenceVAE(prior=StandardNormal(2), decoder=decoder)
    >>> guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=2)
    >>> folder = f"{tempfile.mkdtemp()}/run"
    >>> save_run(folder, model, guide, corpus.tokenizer, corpus=corpus)
    >>> model, guide, tokenizer = load_run(folder)
    >>> type(model).__name__
    'SentenceVAE'

    :param tokenizer: of the text that the pair was trained on.
    :param corpus: that text, as :func:`~pyro_textvae.load_corpus` gave it. Without it, what reads
        text of the run must be given it: ``evaluate RUN --data TEXT``.
    :param objective: what was optimised; written down, and no more.
    :param config: settings of training; likewise.
    :param max_length: tokens of the longest sentence; by default what the decoder tells.
    :param options: what ``__init__`` of a part was given and no attribute tells, by its name, or
        by ``decoder_num_layers`` for one part alone.
    :param overwrite: replace the run that stands in the folder.
    :raises UserError: when the folder holds something else, a class cannot be found again by its
        name (those of a notebook, or inside of a function), or the pair that would be loaded is
        another one. Nothing is written then.
    """
    place = RunFolder.of(folder)
    modules = {"model": model, "guide": guide}
    sizes = sizes_of_pair(modules, tokenizer, corpus, max_length)
    described = describe_pair(model, guide, options or {})
    settings = _settings(described, corpus, objective, config)
    run_config = TrainConfig(**settings)
    pair = Pair(model, guide, described.specs)
    refuse_unused_options(run_config, pair)
    try:
        check_rebuilt(
            pair,
            lambda: build_pair(run_config, sizes, tokenizer=tokenizer, specs=described.specs),
            _example(model, guide, corpus),
        )
    except UserError as error:
        raise UserError(f"{error}{_hint(described)}") from error
    kind = tokenizer_kind_of(tokenizer, corpus)
    was_given = corpus is not None and was_given_tokenizer(corpus)
    if corpus is not None:
        check_loads_again(corpus, run_config)
    sources = read_sources({**described.specs, "tokenizer": kind})

    def write(into: RunFolder) -> StoredRun:
        into.path.mkdir(parents=True, exist_ok=True)
        if not into.weights.is_file():
            into.save_weights(pair.modules)
        contents = write_what_rebuilds(
            into,
            settings,
            pair,
            sizes,
            tokenizer,
            corpus,
            tokenizer_kind=kind,
            sources=sources,
            made_by=SAVE_RUN,
            tokenizer_was_given=was_given,
        )
        return StoredRun(place, run_config, sizes, contents)

    if not _is_of_trainer(place):
        place.check_free(overwrite=overwrite)
    with place.writing():
        if _is_of_trainer(place):
            _check_trained(place, pair)
            stored = write(place)
        else:
            place.check_free(overwrite=overwrite)
            with place.replacement() as new:
                stored = write(new)
                place.replace(new)
        if problem := remember(stored.own_code):
            warnings.warn(problem, stacklevel=2)


def _settings(
    described: Described,
    corpus: Corpus | None,
    objective: ELBO | None,
    config: TrainingConfig | None,
) -> dict[str, Any]:
    """The settings that are known, by the names of those of ``train``; no other is written."""
    settings: dict[str, Any] = {}
    if corpus is not None:
        settings |= settings_of_corpus(corpus)
    settings |= {**described.specs, **described.settings, "options": described.options}
    if objective is not None:
        settings["objective"] = spec_of("objectives", type(objective))
        particles = getattr(objective, "num_particles", None)
        settings |= {"num_particles": particles} if isinstance(particles, int) else {}
    if config is not None:
        names = {field.name for field in fields(TrainingConfig)}
        settings |= {name: value for name, value in asdict(config).items() if name in names}
    # As a file holds them, which a mistyped one is refused by.
    complete = TrainConfig(**settings).to_dict()
    return {name: complete[name] for name in complete if name in settings}


def _example(model: nn.Module, guide: nn.Module, corpus: Corpus | None) -> Mapping[str, Tensor]:
    """A small batch: of the corpus, else of the model's own."""
    if corpus is not None:
        return next(iter(corpus.batches("train", batch_size=2, shuffle=False)))
    try:
        with evaluation_mode(model, guide, seed=0):
            site: Any = simulate(model, 2).nodes[TEXT_SITE]
    except UserError as error:
        raise UserError(f"{error}; give corpus=, the text that it was trained on") from error
    return {TOKENS: site["value"]}


def _is_of_trainer(folder: RunFolder) -> bool:
    """Whether a ``Trainer`` of Python has written into the folder, and no run stands there yet."""
    return folder.state.is_file() and not folder.config_json.is_file()


def _check_trained(folder: RunFolder, pair: Pair) -> None:
    """Refuse a pair that is not what a ``Trainer`` has left in the folder."""
    trained = (folder.load_state() or {}).get("modules", {})
    present = pair.modules.state_dict()
    same = trained.keys() == present.keys() and all(
        torch.equal(trained[name], value.cpu()) for name, value in present.items()
    )
    if not same:
        raise UserError(
            f"{folder.path} holds the training of other weights than these: save them into "
            "another folder"
        )


def _hint(described: Described) -> str:
    if not described.unknown:
        return ""
    return (
        f"; no attribute tells {', '.join(described.unknown)}: where one is not its default, give "
        "it in options="
    )
