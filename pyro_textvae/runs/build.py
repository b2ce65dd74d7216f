# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Model, guide, objective and procedure from the settings of a run."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
from pyro.infer import (
    ELBO,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
)
from torch import Tensor, nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import TOKENS
from pyro_textvae.data import Corpus, Tokenizer
from pyro_textvae.data.batching import Batch
from pyro_textvae.data.corpus import SPLITS
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.infer import KLSchedule, PerDatumELBO
from pyro_textvae.infer.auxiliary import auxiliaries_of
from pyro_textvae.infer.function_program import FunctionProgram, networks_of
from pyro_textvae.infer.param_statements import check_traced_statements
from pyro_textvae.infer.running import evaluation_mode, find_device
from pyro_textvae.infer.simulate import Condition, fields_of, simulate
from pyro_textvae.infer.sites import latent_sites, text_sites
from pyro_textvae.nn import Guide, TextAndSourceEncoder
from pyro_textvae.runs.auxiliaries import join_auxiliaries
from pyro_textvae.runs.labels import NUM_LABELS, check_enough_labels, check_labels_are_read
from pyro_textvae.runs.pretrained import check_named
from pyro_textvae.training import Procedure

SOURCE_ENCODER = "source_encoder"
"""The part of a model that reads its source."""

_COMPILED = (JitTrace_ELBO, JitTraceEnum_ELBO, JitTraceGraph_ELBO, JitTraceMeanField_ELBO)

PARTS = {
    "source_encoder": "encoders",
    "prior": "priors",
    "conditional_prior": "conditional_priors",
    "decoder": "decoders",
    "encoder": "encoders",
}
"""What a model's or guide's ``__init__`` may ask for by name, and its kind in the zoo.

The encoder of a source comes first: it says how wide the others' input from it is.
"""

FROM_RUN = ("model", "sentences")
"""What a guide's ``__init__`` may ask for besides: the model that it is the guide of, and batches
of the sentences of all splits, for posteriors that read no text."""

ARCHITECTURE = (
    "embedding_dim",
    "hidden_dim",
    "latent_dim",
    "embedding_dropout",
    "output_dropout",
    "word_dropout",
)
"""Settings that any part may ask for by name."""

TOKENIZER = "tokenizer"
"""What any part may ask for by name, besides settings and sizes."""

Specs = Mapping[str, str | None]
"""The name of model, guide and each of ``PARTS``, as ``zoo.load`` takes it; None for no guide's
name: then the guide is ``gaussian``, or ``empty`` for a model without latents."""


@dataclass(frozen=True)
class Pair:
    """A model and its guide, as settings describe them.

    specs
        What each part was loaded by, with the guide's default filled in.
    """

    model: nn.Module
    guide: nn.Module
    specs: dict[str, str]

    @property
    def num_parameters(self) -> int:
        """Numbers among the parameters of both."""
        return sum(parameter.numel() for parameter in self.modules.parameters())

    @property
    def modules(self) -> nn.ModuleDict:
        """Both, under the names that their parameters are saved by."""
        return nn.ModuleDict({"model": self.model, "guide": self.guide})


@dataclass(frozen=True)
class Built(Pair):
    """All that a run is trained with.

    procedure
        None for one step a batch.
    """

    objective: ELBO
    procedure: Procedure | None


def build(
    config: TrainConfig,
    corpus: Corpus,
    *,
    specs: Specs | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Built:
    """Build what the settings describe, on their device; the same seed gives the same weights.

    Pyro, torch, NumPy and Python are seeded, and training goes on with their random numbers.

    :param specs: by default what the settings name; a stored run's, where files of the user's own
        are read from the run's copy.
    :param sizes: by default those of the corpus.
    :raises UserError: for settings that do not fit together, and for an option that nothing takes.
    """
    with pyro.settings.context(module_local_params=True):
        pyro.set_rng_seed(config.seed)
        example = corpus.train.batch(np.arange(1))
        check_enough_labels(specs or specs_of(config), config, corpus)
        pair = build_pair(
            config,
            sizes or sizes_of(corpus),
            tokenizer=corpus.tokenizer,
            specs=specs,
            condition=example,
            sentences=_AllSplits(corpus),
        )
        if specs is None:
            # A run from before they were refused goes on.
            check_labels_are_read(pair.model, pair.guide, config)
        for program in (pair.guide, pair.model):
            if isinstance(program, FunctionProgram):
                program.collect(fields_of(program, example))
        pair.modules.to(find_device(config.device))
        objective = _build_objective(config, corpus)
        join_auxiliaries(objective, config, pair.guide, example, _values(config, corpus))
        auxiliaries_of(objective).to(find_device(config.device))
        procedure: Procedure | None = None
        if config.procedure is not None:
            procedure = zoo.build(zoo.load("procedures", config.procedure), config.options)
    refuse_unused_options(config, pair)
    return Built(pair.model, pair.guide, pair.specs, objective, procedure)


def build_pair(
    config: TrainConfig,
    sizes: Mapping[str, int],
    *,
    tokenizer: Tokenizer | None = None,
    specs: Specs | None = None,
    condition: Condition = 1,
    sentences: Iterable[Mapping[str, Tensor]] = (),
) -> Pair:
    """Build model and guide, and whatever their ``__init__`` names of the zoo's other kinds.

    A model whose decoder takes something else than z has a static method ``decoder_latent_dim``: it
    names the settings that it needs, and returns what the decoder is built with as ``latent_dim``.
    Random numbers are neither seeded nor put back.

    :param sizes: ``vocab_size`` and ``max_length``, and ``num_labels`` where there are labels.
    :param tokenizer: of the text, for a part that asks for it.
    :param specs: by default what the settings name.
    :param condition: what the model can be run on, to see whether it has a latent.
    :param sentences: batches of all that is trained on or scored, for a guide that asks for them;
        none for one whose weights are to be loaded.
    :raises UserError: for a part that cannot be built.
    """
    specs = specs_of(config) if specs is None else specs
    with pyro.settings.context(module_local_params=True):
        model_class = zoo.load("models", _given(specs, "model"))
        settings = {name: getattr(config, name) for name in ARCHITECTURE}
        values: dict[str, Any] = {**settings, **sizes, **config.options}
        if tokenizer is not None:
            values[TOKENIZER] = tokenizer
        if hasattr(model_class, "decoder_latent_dim"):
            width = zoo.build(model_class.decoder_latent_dim, values)
            values.setdefault("decoder_latent_dim", width)
        model = _build_with_parts(model_class, specs, values)
        guide_spec = specs["guide"]
        if guide_spec is None:
            guide_spec = "empty"
            if _tied_parts(model) or _has_latents(model, condition):
                guide_spec = "gaussian"
        guide_class = zoo.load("guides", guide_spec)
        reads_source = SOURCE_ENCODER in zoo.parameters(model_class)
        from_run = dict(zip(FROM_RUN, (model, sentences), strict=True))
        guide = _build_with_parts(guide_class, specs, values | from_run, reads_source=reads_source)
        for part in _tied_parts(model):
            try:
                part.tie(guide)
            except ValueError as error:
                raise UserError(str(error)) from error
    of_source = {SOURCE_ENCODER, "conditional_prior"} - {*zoo.parameters(model_class)}
    of_source -= {*zoo.parameters(guide_class)}
    named = {name: spec for name, spec in specs.items() if spec and name not in of_source}
    pair = Pair(model, guide, {**named, "guide": guide_spec})
    check_named(pair.modules, pair.specs)
    return pair


@dataclass(frozen=True)
class _AllSplits:
    """Batches of all sentences of a corpus, made when they are asked for."""

    corpus: Corpus

    def __iter__(self) -> Iterator[Batch]:
        for split in SPLITS:
            yield from self.corpus.batches(split, shuffle=False)


def specs_of(config: TrainConfig) -> dict[str, str | None]:
    """What the settings name of each part."""
    return {name: getattr(config, name) for name in ("model", "guide", *PARTS)}


def sizes_of(corpus: Corpus) -> dict[str, int]:
    """What a corpus says of the sizes of a model; of labels and documents, where it has any."""
    sizes = {"vocab_size": len(corpus.tokenizer), "max_length": corpus.max_length}
    if corpus.max_sentences is not None:
        sizes["max_sentences"] = corpus.max_sentences
    return sizes | ({NUM_LABELS: len(corpus.label_names)} if corpus.label_names else {})


def _values(config: TrainConfig, corpus: Corpus) -> dict[str, Any]:
    """What an auxiliary loss may ask for by name, besides its own options."""
    settings = {name: getattr(config, name) for name in ARCHITECTURE}
    return {**settings, **sizes_of(corpus), NUM_LABELS: len(corpus.label_names)}


def _build_objective(config: TrainConfig, corpus: Corpus) -> ELBO:
    """The objective of the settings, with its KL schedule in steps and its constraint."""
    objective_class = zoo.load("objectives", config.objective)
    accepted = zoo.parameters(objective_class)
    for name in ("num_particles", "kl_weight", "constraint", "site_weights", "auxiliaries"):
        if name in config.options:
            raise UserError(
                f"{name} is a setting of its own: give --{name.replace('_', '-')} instead of an "
                "option"
            )
    values: dict[str, Any] = {**config.options, "num_particles": config.num_particles}
    if "kl_weight" in accepted:
        steps_per_epoch = corpus.num_batches("train", **config.batch_limits)
        values["kl_weight"] = build_schedule(config, steps_per_epoch)
    elif config.kl_weight != 1.0 or config.kl_schedule not in ("constant", "linear"):
        raise UserError(
            f"{config.objective} has no KL weight, so kl_weight={config.kl_weight} and "
            f"kl_schedule={config.kl_schedule} would do nothing: use --objective beta_elbo"
        )
    if config.site_weights:
        if "site_weights" not in accepted:
            raise UserError(
                f"{config.objective} has no weights of single sites, so "
                f"site_weights={config.site_weights} would do nothing: use one of "
                f"{', '.join(_objectives_with('site_weights'))}"
            )
        values["site_weights"] = config.site_weights
    objective = zoo.build(objective_class, values)
    if isinstance(objective, _COMPILED):
        raise UserError(
            f"{config.objective} compiles for parameters in Pyro's global store, where those of a "
            "run are not: use pyro.infer:Trace_ELBO or pyro.infer:TraceMeanField_ELBO"
        )
    if not hasattr(objective, "differentiable_loss"):
        raise UserError(
            f"{config.objective} has no differentiable_loss, so torch.optim cannot step it: use "
            "one of pyro_textvae.infer, pyro.infer:Trace_ELBO or pyro.infer:TraceMeanField_ELBO"
        )
    if config.constraint is not None:
        if not isinstance(objective, PerDatumELBO):
            raise UserError(
                f"{config.objective} takes no constraint, so {config.constraint} would do nothing: "
                f"use one of {', '.join(zoo.names('objectives'))}"
            )
        constraint_class = zoo.load("constraints", config.constraint)
        for name in config.options:
            if name in accepted and name in zoo.parameters(constraint_class):
                raise UserError(
                    f"option {name!r} is taken by {config.objective} and by {config.constraint}: "
                    "build the objective in Python to give them different values"
                )
        objective.constraint = zoo.build(constraint_class, config.options)
    return objective


def _objectives_with(parameter: str) -> list[str]:
    """The objectives of the catalogue that take ``parameter``."""
    names = zoo.names("objectives")
    return [name for name in names if parameter in zoo.parameters(zoo.load("objectives", name))]


def build_schedule(config: TrainConfig, steps_per_epoch: int) -> KLSchedule:
    """The KL schedule of the settings, in training steps.

    :raises UserError: for a schedule that cannot be built.
    """
    schedule_class = zoo.load("kl_schedules", config.kl_schedule)
    of_settings = _settings_of_schedules(config, steps_per_epoch)
    return zoo.build(schedule_class, {**config.options, **of_settings})


def _settings_of_schedules(config: TrainConfig, steps_per_epoch: int) -> dict[str, float]:
    """What a KL schedule is built with from settings of their own, and so from no option."""
    num_steps = config.kl_steps or max(1, round(config.kl_epochs * steps_per_epoch))
    return {
        "num_steps": num_steps,
        "start": config.kl_start,
        "end": config.kl_weight,
        "num_zero_steps": int(config.kl_zero * num_steps),
        "num_cycles": config.kl_cycles,
    }


def refuse_unused_options(config: TrainConfig, pair: Pair) -> None:
    """Refuse an option that nothing takes.

    :raises UserError: with the nearest name that something would take.
    """
    programs = [zoo.load("models", pair.specs["model"]), zoo.load("guides", pair.specs["guide"])]
    parts = {
        name: zoo.load(kind, pair.specs[name])
        for name, kind in PARTS.items()
        if any(name in zoo.parameters(program) for program in programs)
    }
    takers = [*programs, *parts.values(), zoo.load("objectives", config.objective)]
    if hasattr(programs[0], "decoder_latent_dim"):
        takers.append(programs[0].decoder_latent_dim)
    for kind, spec in (("constraints", config.constraint), ("procedures", config.procedure)):
        takers += [] if spec is None else [zoo.load(kind, spec)]
    accepted = {name for taker in takers for name in zoo.parameters(taker)} - {*FROM_RUN}
    if "kl_weight" in zoo.parameters(zoo.load("objectives", config.objective)):
        schedule = zoo.load("kl_schedules", config.kl_schedule)
        accepted |= set(zoo.parameters(schedule)) - set(_settings_of_schedules(config, 1))
    for name, part in parts.items():
        accepted |= {f"{name}_{parameter}" for parameter in zoo.parameters(part)}
    unused = sorted(set(config.options) - accepted)
    if unused:
        near = difflib.get_close_matches(unused[0], accepted, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"option {unused[0]!r} is taken by no part of this run{hint}")


def _build_with_parts(
    cls: type, specs: Specs, values: dict[str, Any], *, reads_source: bool = False
) -> nn.Module:
    """A program of a class, or one that is a function, whose other arguments are given here.

    :param reads_source: whether a guide of the library's kind is to read the source too.
    """
    wanted = set(zoo.parameters(cls))
    is_guide = inspect.isclass(cls) and issubclass(cls, Guide)
    joins = reads_source and is_guide and SOURCE_ENCODER not in wanted
    if joins:
        wanted.add(SOURCE_ENCODER)
    parts: dict[str, Any] = {}
    for name, kind in PARTS.items():
        if name not in wanted:
            continue
        part = parts[name] = _build_part(name, zoo.load(kind, _given(specs, name)), values)
        if name == SOURCE_ENCODER:
            values = values | _widths_of_source(part)
    if joins:
        parts["encoder"] = TextAndSourceEncoder(parts["encoder"], parts.pop(SOURCE_ENCODER))
    if not inspect.isfunction(cls):
        return zoo.build(cls, {**values, **parts})
    if TOKENS not in zoo.parameters(cls):
        raise UserError(
            f"{cls.__name__} is a function without an argument {TOKENS!r}, so it is no program: "
            "name the fields of a batch that it takes, or write a class"
        )
    for name, network in networks_of(cls).items():
        raise UserError(
            f"the function {cls.__name__} refers to {name!r}, a {type(network).__name__} of its "
            "file, which all runs would share: name it as an argument (decoder, encoder, prior), "
            "or write a class that makes it in __init__"
        )
    given = {n: value for n, value in (values | parts).items() if n in zoo.parameters(cls)}
    return FunctionProgram(cls, given)


def _widths_of_source(encoder: Any) -> dict[str, int]:
    """What the parts that use a source are built with."""
    width = getattr(encoder, "memory_dim", None)
    if width is None:
        raise UserError(
            f"{type(encoder).__name__} has no memory_dim, the width of its states, so it cannot be "
            "a source_encoder: give it that, and a method read"
        )
    return {"decoder_memory_dim": width, "feature_dim": encoder.output_dim}


def _build_part(name: str, cls: type, values: dict[str, Any]) -> Any:
    """A part from the values; one such as ``decoder_num_layers`` is for the decoder alone."""
    for_it_alone = {
        parameter: values[f"{name}_{parameter}"]
        for parameter in zoo.parameters(cls)
        if f"{name}_{parameter}" in values
    }
    return zoo.build(cls, values | for_it_alone)


def _tied_parts(model: nn.Module) -> list[Any]:
    """Parts of the model that are made of the guide, such as a prior of its posteriors."""
    return [part for part in model.modules() if hasattr(part, "tie")]


def _has_latents(model: nn.Module, condition: Condition) -> bool:
    try:
        with evaluation_mode(model, model, seed=0):
            trace = simulate(model, condition)
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, NotImplementedError):
            # Pyro has no statements in modules whose parameters are their own.
            with evaluation_mode(model, model, seed=0), pyro.validation_enabled(False):
                check_traced_statements({model: simulate(model, condition)})
        raise UserError(
            f"{type(model).__name__} does not run without its text: {in_one_line(error)}"
        ) from error
    of_text = text_sites(trace)
    return any(name not in of_text for name, _ in latent_sites(trace))


def _given(specs: Specs, name: str) -> str:
    spec = specs[name]
    if spec is None:
        raise UserError(f"the settings name no {name}: give one")
    return spec
