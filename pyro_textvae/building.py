# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Model, guide and objective from the settings of a run."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import torch
from pyro import poutine
from pyro.infer import ELBO
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation.batches import evaluation_mode
from pyro_textvae.infer import (
    ConstantSchedule,
    CyclicalSchedule,
    KLSchedule,
    LinearSchedule,
    LogisticSchedule,
)
from pyro_textvae.infer.sites import latent_sites
from pyro_textvae.training import batch_limits

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


def build_objective(config: TrainConfig, corpus: Corpus) -> ELBO:
    """The objective of the settings, with its KL schedule in steps."""
    per_epoch = corpus.num_batches("train", **batch_limits(config))
    objective_class = zoo.load("objectives", config.objective)
    accepted = inspect.signature(objective_class).parameters
    values: dict[str, Any] = {"num_particles": config.num_particles}
    if "kl_weight" in accepted:
        values["kl_weight"] = build_schedule(config, per_epoch)
    elif config.kl_weight != 1.0 or config.kl_schedule in ("logistic", "cyclical"):
        raise UserError(
            f"{config.objective} has no KL weight, so kl_weight={config.kl_weight} and "
            f"kl_schedule={config.kl_schedule} would do nothing: use --objective beta_elbo"
        )
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


def _parameters(cls: type) -> list[str]:
    return list(inspect.signature(cls).parameters)


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


def _known(spec: str | None) -> str:
    assert spec is not None
    return spec
