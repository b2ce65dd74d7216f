# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Model, guide, objective and procedure from the settings of a run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
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
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import TEXT_SITE
from pyro_textvae.data import Corpus, Tokenizer
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.infer import KLSchedule, PerDatumELBO
from pyro_textvae.infer.running import evaluation_mode, find_device
from pyro_textvae.infer.simulate import Condition, simulate
from pyro_textvae.infer.sites import latent_sites
from pyro_textvae.runs.pretrained import check_named
from pyro_textvae.training import Procedure

_COMPILED = (JitTrace_ELBO, JitTraceEnum_ELBO, JitTraceGraph_ELBO, JitTraceMeanField_ELBO)

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
        pair = build_pair(
            config,
            sizes or sizes_of(corpus),
            tokenizer=corpus.tokenizer,
            specs=specs,
            condition=example,
        )
        pair.modules.to(find_device(config.device))
        objective = _build_objective(config, corpus)
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
) -> Pair:
    """Build model and guide, and whatever their ``__init__`` names of the zoo's other kinds.

    A model whose decoder takes something else than z has a static method ``decoder_latent_dim``: it
    names the settings that it needs, and returns what the decoder is built with as ``latent_dim``.
    Random numbers are neither seeded nor put back.

    :param sizes: ``vocab_size`` and ``max_length``.
    :param tokenizer: of the text, for a part that asks for it.
    :param specs: by default what the settings name.
    :param condition: what the model can be run on, to see whether it has a latent.
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
        guide = _build_with_parts(zoo.load("guides", guide_spec), specs, values)
        for part in _tied_parts(model):
            try:
                part.tie(guide)
            except ValueError as error:
                raise UserError(str(error)) from error
    named = {name: spec for name, spec in specs.items() if spec}
    pair = Pair(model, guide, {**named, "guide": guide_spec})
    check_named(pair.modules, pair.specs)
    return pair


def specs_of(config: TrainConfig) -> dict[str, str | None]:
    """What the settings name of each part."""
    return {name: getattr(config, name) for name in ("model", "guide", *PARTS)}


def sizes_of(corpus: Corpus) -> dict[str, int]:
    """What a corpus says of the sizes of a model."""
    return {"vocab_size": len(corpus.tokenizer), "max_length": corpus.max_length}


def _build_objective(config: TrainConfig, corpus: Corpus) -> ELBO:
    """The objective of the settings, with its KL schedule in steps and its constraint."""
    objective_class = zoo.load("objectives", config.objective)
    accepted = zoo.parameters(objective_class)
    for name in ("num_particles", "kl_weight", "constraint"):
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
    accepted = {name for taker in takers for name in zoo.parameters(taker)}
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


def _build_with_parts(cls: type, specs: Specs, values: dict[str, Any]) -> nn.Module:
    parts = {
        name: _build_part(name, zoo.load(kind, _given(specs, name)), values)
        for name, kind in PARTS.items()
        if name in zoo.parameters(cls)
    }
    return zoo.build(cls, {**values, **parts})


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
        raise UserError(
            f"{type(model).__name__} does not run without its text: {in_one_line(error)}"
        ) from error
    return any(name != TEXT_SITE for name, _ in latent_sites(trace))


def _given(specs: Specs, name: str) -> str:
    spec = specs[name]
    if spec is None:
        raise UserError(f"the settings name no {name}: give one")
    return spec
