# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs as a whole: build from settings, train, resume, load."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.infer import ELBO
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config import TrainConfig
from pyro_textvae.data import Corpus, Tokenizer, load_corpus
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.evaluation.batches import evaluation_mode
from pyro_textvae.evaluation.information import latent_sites
from pyro_textvae.evaluation.units import bits, perplexity
from pyro_textvae.infer import (
    ConstantSchedule,
    CyclicalSchedule,
    KLSchedule,
    LinearSchedule,
    LogisticSchedule,
)
from pyro_textvae.special_tokens import EOS
from pyro_textvae.training import Progress, RunFolder, Trainer, batch_limits
from pyro_textvae.training.run_folder import describe_environment

PARTS = {"prior": "priors", "decoder": "decoders", "encoder": "encoders"}
"""What a model's or guide's ``__init__`` may ask for by name, and its kind in the zoo."""

ARCHITECTURE = (
    "embedding_dim",
    "hidden_dim",
    "latent_dim",
    "embedding_dropout",
    "output_dropout",
    "word_dropout",
)
"""Settings that any part may ask for by name."""


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
    sizes = {"vocab_size": len(corpus.tokenizer), "max_length": corpus.max_length}
    with pyro.settings.context(module_local_params=True):
        pyro.set_rng_seed(config.seed)
        model, guide, specs = build_pair(_default_specs(config), config, sizes)
        modules = nn.ModuleDict({"model": model, "guide": guide}).to(device)
        objective = build_objective(config, corpus)
        _dry_run(model, guide, objective, corpus)
        sources = _read_sources(specs)
        folder = RunFolder(out)
        folder.create(overwrite=overwrite)
        corpus.tokenizer.save(folder.tokenizer)
        folder.write_config(
            config.to_dict(),
            {
                "specs": _keep_sources(specs, sources, folder),
                "sizes": sizes,
                "tokenizer_fingerprint": corpus.tokenizer.fingerprint,
                "corpus_fingerprint": corpus.fingerprint,
                "corpus": corpus.summary(),
                "parameters": sum(p.numel() for p in modules.parameters()),
            },
        )
        report(describe(config, corpus, specs, modules))
        trainer = Trainer(model, guide, objective, corpus, config, folder, report=report)
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
    settings = stored["settings"] | {k: v for k, v in (("epochs", epochs), ("device", device)) if v}
    config = TrainConfig(**settings)
    state = folder.load_state()
    corpus = load_corpus_of(config)
    _demand_same_corpus(corpus, stored, folder)
    with pyro.settings.context(module_local_params=True):
        pyro.set_rng_seed(config.seed)
        model, guide, _ = build_pair(_stored_specs(stored, folder), config, stored["sizes"])
        nn.ModuleDict({"model": model, "guide": guide}).to(find_device(config.device))
        objective = build_objective(config, corpus)
        trainer = Trainer(model, guide, objective, corpus, config, folder, report=report)
        if state is not None:
            try:
                trainer.restore(state)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise UserError(
                    f"{folder.state} belongs to another run: put the run's own back, or train "
                    "again with --overwrite"
                ) from error
        place = trainer.progress
        report(f"{folder.path}: going on at epoch {place.epoch + 1}, batch {place.batch + 1}")
        return trainer.fit()


def load_run(path: str | Path, *, device: str = "cpu") -> tuple[nn.Module, nn.Module, Tokenizer]:
    """Model, guide and tokenizer of a run, at its best validation bound, in evaluation mode.

    :raises UserError: when ``path`` is no run, a file is damaged, or the tokenizer is another's.
    """
    folder = RunFolder(path)
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
        config = TrainConfig(**stored["settings"])
        model, guide, _ = build_pair(_stored_specs(stored, folder), config, stored["sizes"])
        modules = nn.ModuleDict({"model": model, "guide": guide})
        folder.load_weights(modules)
        modules.to(target).eval()
    return model, guide, tokenizer


def build_pair(
    specs: dict[str, str | None], config: TrainConfig, sizes: dict[str, int]
) -> tuple[nn.Module, nn.Module, dict[str, str]]:
    """Build model and guide, and whatever their ``__init__`` names of the zoo's other kinds.

    A class attribute with the name of a size (``latent_dim = 0``) takes the setting's place.

    :returns: model, guide, and the specs with the guide's default filled in.
    :raises UserError: for an option that nothing takes, or a part that cannot be built.
    """
    used: set[str] = set()
    model_class = zoo.load("models", _known(specs["model"]))
    settings = {name: getattr(config, name) for name in ARCHITECTURE}
    values: dict[str, Any] = {**settings, **sizes, **config.options}
    values |= {name: getattr(model_class, name) for name in values if hasattr(model_class, name)}
    model = _build_with_parts(model_class, specs, values, used)
    guide_spec = specs["guide"]
    if guide_spec is None:
        guide_spec = "gaussian" if _has_latents(model) else "empty"
    guide_class = zoo.load("guides", guide_spec)
    guide = _build_with_parts(guide_class, specs, values, used)
    unused = set(config.options) - used
    if unused:
        name = sorted(unused)[0]
        parts = [zoo.load(kind, _known(specs[part])) for part, kind in PARTS.items()]
        accepted = {p for cls in (model_class, guide_class, *parts) for p in _parameters(cls)}
        near = difflib.get_close_matches(name, accepted, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"option {name!r} is taken by no part of this model{hint}")
    return model, guide, {**{k: _known(v) for k, v in specs.items() if v}, "guide": guide_spec}


def _parameters(cls: type) -> list[str]:
    return list(inspect.signature(cls).parameters)


def build_objective(config: TrainConfig, corpus: Corpus) -> ELBO:
    """The objective of the settings, with its KL schedule in steps."""
    per_epoch = corpus.num_batches("train", **batch_limits(config))
    objective_class = zoo.load("objectives", config.objective)
    accepted = inspect.signature(objective_class).parameters
    values: dict[str, Any] = {"num_particles": config.num_particles}
    if "kl_weight" in accepted:
        values["kl_weight"] = build_schedule(config, per_epoch)
    elif config.kl_weight != 1.0:
        raise UserError(f"{config.objective} has no KL weight: use --objective beta_elbo")
    objective = zoo.build(objective_class, values)
    if not hasattr(objective, "differentiable_loss"):
        raise UserError(
            f"{config.objective} has no differentiable_loss, so torch.optim cannot step it: use "
            "one of pyro_textvae.infer, pyro.infer:Trace_ELBO or pyro.infer:TraceMeanField_ELBO"
        )
    return objective


def build_schedule(config: TrainConfig, steps_per_epoch: int) -> KLSchedule:
    """The KL schedule of the settings, in training steps."""
    if config.kl_schedule == "constant":
        return ConstantSchedule(config.kl_weight)
    steps = max(1, round(config.kl_epochs * steps_per_epoch))
    if config.kl_schedule == "linear":
        return LinearSchedule(steps, config.kl_start, config.kl_weight)
    if config.kl_schedule == "logistic":
        return LogisticSchedule(steps, config.kl_weight)
    return CyclicalSchedule(steps, config.kl_cycles, config.kl_start, config.kl_weight)


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


def find_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is a GPU if there is one.

    :raises UserError: when it does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"nothing is tested on {device.type}")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        have = ", ".join(["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))])
        raise UserError(f"device {name!r} does not exist here: one of auto, {have}") from error
    return device


def describe(config: TrainConfig, corpus: Corpus, specs: dict[str, str], modules: nn.Module) -> str:
    """One line about what is going to be trained on what."""
    count = sum(parameter.numel() for parameter in modules.parameters())
    return (
        f"{config.data}: {len(corpus.train):,} / {len(corpus.valid):,} / {len(corpus.test):,} "
        f"sentences, {len(corpus.tokenizer):,} types; {specs['model']} with guide "
        f"{specs['guide']}, {count:,} parameters, {config.objective}"
    )


def _default_specs(config: TrainConfig) -> dict[str, str | None]:
    return {name: getattr(config, name) for name in ("model", "guide", *PARTS)}


def _stored_specs(stored: dict[str, Any], folder: RunFolder) -> dict[str, str | None]:
    """Specs of a run; files of the user's own are read from the copy in the run's folder."""
    return {
        name: str(folder.path / spec) if spec.startswith("source/") else spec
        for name, spec in stored["specs"].items()
    }


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


def _build_with_parts(
    cls: type, specs: dict[str, str | None], values: dict[str, Any], used: set[str]
) -> nn.Module:
    parts = {
        name: zoo.build(zoo.load(kind, _known(specs[name])), values, used)
        for name, kind in PARTS.items()
        if name in inspect.signature(cls).parameters
    }
    module = zoo.build(cls, {**values, **parts}, used)
    if not isinstance(module, nn.Module):
        raise UserError(f"{cls.__name__} is no torch.nn.Module: derive it from pyro.nn.PyroModule")
    return module


def _has_latents(model: nn.Module) -> bool:
    try:
        with evaluation_mode(model, model, seed=0):
            trace = poutine.trace(model).get_trace(size=1)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{type(model).__name__} does not run with size=1: {in_one_line(error)}"
        ) from error
    return any(name != "x" for name, _ in latent_sites(trace))


def _dry_run(model: nn.Module, guide: nn.Module, objective: ELBO, corpus: Corpus) -> None:
    """Run one small batch with every check of Pyro on, before anything is written."""
    from pyro_textvae.testing import check_pair

    batch = next(iter(corpus.batches("train", batch_size=2, shuffle=False)))
    check_pair(model, guide, objective, batch)


def _demand_same_corpus(corpus: Corpus, stored: dict[str, Any], folder: RunFolder) -> None:
    if corpus.fingerprint != stored["corpus_fingerprint"]:
        raise UserError(
            f"the corpus {stored['settings']['data']} is not the one that {folder.path} was "
            f"trained on: its fingerprint is {corpus.fingerprint}, the run's "
            f"{stored['corpus_fingerprint']}; bring the old text back or train anew"
        )


def _raw_counts(corpus: Corpus, split: str) -> tuple[int, int | None]:
    """Words and characters of the raw text, one ``<eos>`` a sentence counted as each.

    Word tokenizers lose the raw text's characters, so there is no number for those.
    """
    rows = getattr(corpus, split)
    if corpus.tokenizer.kind in ("word", "nltk"):
        return rows.num_tokens, None
    texts = [corpus.tokenizer.decode(row.tolist()) for row in rows]
    return sum(len(text.split()) + 1 for text in texts), sum(len(text) + 1 for text in texts)


def _known(spec: str | None) -> str:
    assert spec is not None
    return spec


def evaluate(
    path: str | Path,
    *,
    split: str = "test",
    data: str | None = None,
    text_column: str | None = None,
    num_samples: int = 100,
    batch_size: int = 32,
    max_tokens: int = 16384,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Every number about a run on a split, in the units of the README; nats per sentence.

    :param data: other text, read with the run's tokenizer; its fingerprint is in the result.
    :raises UserError: when the run, the text or a sentence's length does not fit.
    """
    model, guide, tokenizer = load_run(path, device=device)
    stored = RunFolder(path).read_config()
    settings = TrainConfig(**stored["settings"])
    if data is None:
        corpus = load_corpus_of(settings)
        _demand_same_corpus(corpus, stored, RunFolder(path))
    else:
        other = replace(settings, data=data, text_column=text_column, num_sentences=None)
        corpus = load_corpus_of(other, tokenizer)
        if corpus.max_length > stored["sizes"]["max_length"]:
            raise UserError(
                f"{data} has a sentence of {corpus.max_length} tokens, the model was built for "
                f"{stored['sizes']['max_length']}: train it with a larger max_length"
            )
    likelihood = log_likelihood(
        model,
        guide,
        corpus.batches(split, batch_size, shuffle=False),
        num_samples,
        seed,
        max_tokens=max_tokens,
        progress=True,
    )
    known = information(model, guide, corpus.batches(split, batch_size, shuffle=False), seed)
    khat = likelihood.khat
    words, characters = _raw_counts(corpus, split)
    total_nll = -likelihood.log_px.sum().item()
    return {
        "run": str(path),
        "model": stored["specs"]["model"],
        "guide": stored["specs"]["guide"],
        "data": data or settings.data,
        "split": split,
        "units": "nats per sentence, summed over its tokens; <eos> counted, <bos> and <pad> not",
        "num_sentences": likelihood.num_sentences,
        "num_tokens": likelihood.num_tokens,
        "nll": likelihood.nll,
        "nll_standard_error": likelihood.nll_standard_error,
        "nll_sampling_error": likelihood.nll_sampling_error,
        "elbo": -likelihood.elbo.mean().item(),
        "reconstruction": -likelihood.reconstruction.mean().item(),
        "kl": likelihood.kl.mean().item(),
        "ppl": likelihood.ppl,
        "ppl_elbo": likelihood.ppl_elbo,
        "bits_per_word": bits(total_nll, words),
        "ppl_per_word": perplexity(total_nll, words),
        "bits_per_character": bits(total_nll, characters) if characters else None,
        "mutual_information": known.mutual_information,
        "mutual_information_upper": known.mutual_information_upper,
        "mutual_information_ceiling": known.mutual_information_ceiling,
        "active_units": known.active_units,
        "latent_dim": len(known.unit_variance),
        "num_samples": num_samples,
        "median_ess": likelihood.ess.median().item(),
        "khat_above_0_7": None if khat.isnan().all() else (khat > 0.7).double().mean().item(),
        "corpus_fingerprint": corpus.fingerprint,
        "seed": seed,
        "environment": describe_environment(),
    }


def encode_text(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a sentence of the user's own, ending in ``<eos>``.

    :raises UserError: for text without a word.
    """
    ids = tokenizer.encode(text)
    if not ids:
        raise UserError(f"the sentence {text!r} is empty: give at least one word")
    return [*ids, EOS]


def pick_sentences(path: str | Path, split: str, size: int, seed: int) -> list[list[int]]:
    """Sentences of a split of a run's corpus, the same for the same seed."""
    stored = RunFolder(path).read_config()
    corpus = load_corpus_of(TrainConfig(**stored["settings"]))
    _demand_same_corpus(corpus, stored, RunFolder(path))
    sentences = getattr(corpus, split)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(sentences), generator=generator)[:size]
    return [sentences[int(index)].tolist() for index in chosen]
