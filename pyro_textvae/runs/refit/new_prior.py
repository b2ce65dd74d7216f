# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The pair of a run with another prior, all else as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyro
from torch import Tensor, nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.runs.build import PARTS, Pair, build_pair
from pyro_textvae.runs.load import StoredRun, load_tokenizer

MIXTURE = "gaussian_mixture"
"""The prior that is fitted by expectation maximisation, and not by gradient."""

_PRIOR = "model.prior."


def config_with_prior(run: StoredRun, prior: str, options: dict[str, Any]) -> TrainConfig:
    """The settings of a run with another prior, without those that its old prior alone takes.

    :raises UserError: for an option that the prior does not take, or that the fit would overwrite.
    """
    taken = zoo.parameters(zoo.load("priors", prior))
    for name in options:
        if name not in taken:
            raise UserError(
                f"{prior} has no option {name!r}; it takes: "
                f"{', '.join(sorted(set(taken) - {'latent_dim'})) or 'none'}"
            )
        if prior == MIXTURE and name != "num_components":
            raise UserError(
                f"{name} says how {MIXTURE} begins to be trained, and expectation maximisation "
                "fits it anew: of its options give num_components alone"
            )
    number = options.get("num_components", 1)
    if prior == MIXTURE and not (isinstance(number, int) and number >= 1):
        raise UserError(f"num_components must be a whole number of at least 1, got {number!r}")
    return replace(run.config, prior=prior, options={**_of_others(run), **options})


def with_prior(run: StoredRun, present: Pair, config: TrainConfig, seed: int) -> Pair:
    """A new pair with these settings, its prior at its start and all else as in ``present``.

    :raises UserError: where with another prior the model has other weights too.
    """
    pyro.set_rng_seed(seed)
    pair = build_pair(
        config,
        run.sizes,
        tokenizer=load_tokenizer(run),
        specs={**run.specs, "prior": config.prior},
    )
    kept = {n: v for n, v in present.modules.state_dict().items() if not n.startswith(_PRIOR)}
    missing, unexpected = pair.modules.load_state_dict(kept, strict=False)
    strange = [name for name in (*missing, *unexpected) if not name.startswith(_PRIOR)]
    if strange:
        raise UserError(
            f"with another prior the model has other weights too, such as {strange[0]}: its prior "
            "cannot be changed after training"
        )
    pair.modules.eval()
    return pair


def check_support(model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor]) -> None:
    """Refuse a prior that gives the draws of the guide no density, before anything is fitted.

    :raises UserError: with both supports.
    """
    try:
        with evaluation_mode(model, guide, 0):
            Posteriors(model, guide, batch, 0)
    except ValueError as error:
        raise UserError(f"this prior does not fit the guide: {error}") from error


def prior_of(pair: Pair) -> nn.Module:
    """The part of a model that says where its latents come from."""
    prior = pair.model.prior
    assert isinstance(prior, nn.Module)
    return prior


def _of_others(run: StoredRun) -> dict[str, Any]:
    kinds = {"model": "models", "guide": "guides", **PARTS}
    takers = {name: zoo.parameters(zoo.load(kinds[name], spec)) for name, spec in run.specs.items()}
    others = {option for name, taken in takers.items() if name != "prior" for option in taken}
    of_prior = set(takers["prior"]) - others
    return {name: value for name, value in run.config.options.items() if name not in of_prior}
