# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The auxiliary losses of the settings."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pyro.infer import ELBO
from torch import Tensor, nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import LABELS
from pyro_textvae.errors import UserError
from pyro_textvae.infer import AuxiliaryLoss, PerDatumELBO
from pyro_textvae.infer.auxiliary import as_modules
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.plates import SitePlates
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites

_GIVEN_BY_THE_RUN = ("latent_dims", "vocab_size", "max_length", "num_labels")


def join_auxiliaries(
    objective: ELBO,
    config: TrainConfig,
    guide: nn.Module,
    batch: Mapping[str, Tensor],
    values: Mapping[str, Any],
) -> None:
    """Give an objective the auxiliary losses of the settings, where there are any.

    Each is built with its options; what they do not have comes from ``values``, and the widths of
    the latents from a run of the guide. Where there are labels, a guide that learns from them says
    by an attribute ``auxiliaries`` with which losses, unless the settings say otherwise.

    :param batch: what the guide can be run on.
    :param values: settings and sizes that any part may ask for by name.
    :raises UserError: for an objective that takes none, and for a loss that cannot be built.
    """
    of_guide = getattr(guide, "auxiliaries", {}) if LABELS in batch else {}
    auxiliaries = {**of_guide, **config.auxiliaries}
    if not auxiliaries:
        return
    if not isinstance(objective, PerDatumELBO):
        raise UserError(
            f"{config.objective} takes no auxiliary loss, so {next(iter(auxiliaries))} "
            f"would do nothing: use one of {', '.join(zoo.names('objectives'))}"
        )
    given = {**values, "latent_dims": _latent_dims(guide, batch)}
    built = [_build(name, options, given) for name, options in auxiliaries.items()]
    try:
        objective.auxiliaries = as_modules(built)
    except ValueError as error:
        raise UserError(str(error)) from error


def _build(name: str, options: Any, given: Mapping[str, Any]) -> AuxiliaryLoss:
    """One loss; a number in the place of its options is its weight."""
    loss_class = zoo.load("auxiliaries", name)
    options = options if isinstance(options, Mapping) else {"weight": options}
    accepted = [each for each in zoo.parameters(loss_class) if each not in _GIVEN_BY_THE_RUN]
    for option in options:
        if option not in accepted:
            near = difflib.get_close_matches(str(option), accepted, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"the auxiliary loss {name} has no option {option!r}; it takes: "
                f"{', '.join(accepted) or 'none'}{hint}"
            )
    try:
        return zoo.build(loss_class, {**given, **options})
    except UserError as error:
        raise UserError(f"auxiliary loss {name}: {error}") from error


def _latent_dims(guide: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, int]:
    """The widths of the reparameterised latents that are in the plate ``"data"`` alone."""
    with evaluation_mode(guide, guide, seed=0):
        fields = fields_of(guide, to_device(batch, guide))
        sites = latent_sites(trace_guide(guide, **fields))
        return {
            name: site["fn"].event_shape.numel()
            for name, site in sites
            if site["fn"].has_rsample and not SitePlates.of(name, site).inner
        }
