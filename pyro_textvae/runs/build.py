# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Model, guide and objective from the settings of a run."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from pyro.infer import ELBO
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import TEXT_SITE
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.infer import KLSchedule, PerDatumELBO
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.infer.simulate import simulate
from pyro_textvae.infer.sites import latent_sites
from pyro_textvae.training import Procedure, batch_limits

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


def build_pair(
    specs: dict[str, str | None],
    config: TrainConfig,
    sizes: dict[str, int],
    used: set[str] | None = None,
) -> tuple[nn.Module, nn.Module, dict[str, str]]:
    """Build model and guide, and whatever their ``__init__`` names of the zoo's other kinds.

    A class attribute with the name of a size (``latent_dim = 0``) takes the setting's place.

    :param used: collects the names of the settings and options that were taken.
    :returns: model, guide, and the specs with the guide's default filled in.
    :raises UserError: for a part that cannot be built.
    """
    used = set() if used is None else used
    model_class = zoo.load("models", _known(specs["model"]))
    settings = {name: getattr(config, name) for name in ARCHITECTURE}
    values: dict[str, Any] = {**settings, **sizes, **config.options}
    values |= {name: getattr(model_class, name) for name in values if hasattr(model_class, name)}
    model = _build_with_parts(model_class, specs, values, used)
    guide_spec = specs["guide"]
    if guide_spec is None:
        guide_spec = "gaussian" if _tied_parts(model) or _has_latents(model) else "empty"
    guide_class = zoo.load("guides", guide_spec)
    guide = _build_with_parts(guide_class, specs, values, used)
    for part in _tied_parts(model):
        try:
            part.tie(guide)
        except ValueError as error:
            raise UserError(str(error)) from error
    return model, guide, {**{k: _known(v) for k, v in specs.items() if v}, "guide": guide_spec}


def build_objective(config: TrainConfig, corpus: Corpus, used: set[str] | None = None) -> ELBO:
    """The objective of the settings, with its KL schedule in steps and its constraint.

    :param used: collects the names of the options that were taken.
    :raises UserError: for settings that the objective cannot honour.
    """
    used = set() if used is None else used
    per_epoch = corpus.num_batches("train", **batch_limits(config))
    objective_class = zoo.load("objectives", config.objective)
    accepted = inspect.signature(objective_class).parameters
    for name in ("num_particles", "kl_weight", "constraint"):
        if name in config.options:
            raise UserError(
                f"{name} is a setting of its own: give --{name.replace('_', '-')} instead of an "
                "option"
            )
    values: dict[str, Any] = {**config.options, "num_particles": config.num_particles}
    if "kl_weight" in accepted:
        values["kl_weight"] = build_schedule(config, per_epoch, used)
    elif config.kl_weight != 1.0 or config.kl_schedule not in ("constant", "linear"):
        raise UserError(
            f"{config.objective} has no KL weight, so kl_weight={config.kl_weight} and "
            f"kl_schedule={config.kl_schedule} would do nothing: use --objective beta_elbo"
        )
    objective = zoo.build(objective_class, values, used)
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
            if name in accepted and name in _parameters(constraint_class):
                raise UserError(
                    f"option {name!r} is taken by {config.objective} and by {config.constraint}: "
                    "build the objective in Python to give them different values"
                )
        objective.constraint = zoo.build(constraint_class, config.options, used)
    return objective


def build_procedure(config: TrainConfig, used: set[str] | None = None) -> Procedure | None:
    """The training procedure of the settings; None for one step a batch.

    :param used: collects the names of the options that were taken.
    """
    if config.procedure is None:
        return None
    return zoo.build(zoo.load("procedures", config.procedure), config.options, used)


def check_options(config: TrainConfig, specs: dict[str, str], used: set[str]) -> None:
    """Refuse an option that nothing takes.

    :raises UserError: with the nearest name that something would take.
    """
    unused = sorted(set(config.options) - used)
    if not unused:
        return
    kinds = {"model": "models", "guide": "guides", **PARTS}
    chosen = [(kinds[part], spec) for part, spec in specs.items()]
    chosen.append(("objectives", config.objective))
    for kind, spec in (("constraints", config.constraint), ("procedures", config.procedure)):
        chosen += [] if spec is None else [(kind, spec)]
    accepted = {name for kind, spec in chosen for name in _parameters(zoo.load(kind, spec))}
    near = difflib.get_close_matches(unused[0], accepted, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"option {unused[0]!r} is taken by no part of this run{hint}")


def build_schedule(
    config: TrainConfig, steps_per_epoch: int, used: set[str] | None = None
) -> KLSchedule:
    """The KL schedule of the settings, in training steps.

    :param used: collects the names of the options that were taken.
    :raises UserError: for a schedule that cannot be built, or an option that is a setting.
    """
    num_steps = config.kl_steps or max(1, round(config.kl_epochs * steps_per_epoch))
    of_settings = {
        "num_steps": num_steps,
        "start": config.kl_start,
        "end": config.kl_weight,
        "num_zero_steps": int(config.kl_zero * num_steps),
        "num_cycles": config.kl_cycles,
    }
    taken: set[str] = set()
    schedule_class = zoo.load("kl_schedules", config.kl_schedule)
    schedule = zoo.build(schedule_class, {**config.options, **of_settings}, taken)
    if used is not None:
        used |= taken - set(of_settings)
    if not isinstance(schedule, KLSchedule):
        raise UserError(
            f"{config.kl_schedule} is no KL schedule: derive it from pyro_textvae.infer.KLSchedule"
        )
    return schedule


def _parameters(cls: type) -> list[str]:
    return list(inspect.signature(cls).parameters)


def _build_with_parts(
    cls: type, specs: dict[str, str | None], values: dict[str, Any], used: set[str]
) -> nn.Module:
    parts = {
        name: _build_part(name, zoo.load(kind, _known(specs[name])), values, used)
        for name, kind in PARTS.items()
        if name in inspect.signature(cls).parameters
    }
    module = zoo.build(cls, {**values, **parts}, used)
    if not isinstance(module, nn.Module):
        raise UserError(f"{cls.__name__} is no torch.nn.Module: derive it from pyro.nn.PyroModule")
    return module


def _build_part(name: str, cls: type, values: dict[str, Any], used: set[str]) -> Any:
    """A part from the values; one such as ``decoder_num_layers`` is for the decoder alone."""
    own = {
        key: key.removeprefix(f"{name}_")
        for key in values
        if key.startswith(f"{name}_") and key.removeprefix(f"{name}_") in _parameters(cls)
    }
    used.update(own)
    return zoo.build(cls, {**values, **{short: values[key] for key, short in own.items()}}, used)


def _tied_parts(model: nn.Module) -> list[Any]:
    """Parts of the model that are made of the guide, such as a prior of its posteriors."""
    return [part for part in model.modules() if hasattr(part, "tie")]


def _has_latents(model: nn.Module) -> bool:
    try:
        with evaluation_mode(model, model, seed=0):
            trace = simulate(model, 1)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{type(model).__name__} does not run with size=1: {in_one_line(error)}"
        ) from error
    return any(name != TEXT_SITE for name, _ in latent_sites(trace))


def _known(spec: str | None) -> str:
    assert spec is not None
    return spec
