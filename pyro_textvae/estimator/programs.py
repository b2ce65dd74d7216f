# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Classes and ready programs in the place of names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from pyro_textvae.errors import UserError
from pyro_textvae.runs.arguments import describe_pair
from pyro_textvae.runs.build import PARTS, Pair
from pyro_textvae.runs.spec_of import spec_of

_KINDS = {
    "model": "models",
    "guide": "guides",
    **PARTS,
    "tokenizer": "tokenizers",
    "objective": "objectives",
    "constraint": "constraints",
    "kl_schedule": "kl_schedules",
    "procedure": "procedures",
}
"""The settings that name a class, and its kind in the catalogue."""


def named(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Pair | None]:
    """The settings with names in the place of classes, and the programs that are there already.

    Of a ready pair the settings are those that build such a one, as ``save_run`` reads them from
    its attributes.

    :raises UserError: for a class that no run can load again, a ready program without the other,
        and settings that are not those of the programs.
    """
    values = {name: _by_name(name, value) for name, value in settings.items()}
    for name, value in values.items():
        if isinstance(value, nn.Module) and name not in ("model", "guide"):
            raise UserError(
                f"{name} is an object, which is a part of a model or guide: give its class, or "
                "model= and guide= as programs"
            )
    programs = {n: values[n] for n in ("model", "guide") if isinstance(values.get(n), nn.Module)}
    if not programs:
        return values, None
    for name, other in (("model", "guide"), ("guide", "model")):
        if name not in programs:
            empty = ", EmptyGuide() for a model without latents" if name == "guide" else ""
            raise UserError(
                f"{other} is a ready program and {name} is not: give both as programs{empty}, or "
                "both by name or class"
            )
    model, guide = programs["model"], programs["guide"]
    described = describe_pair(model, guide, values.get("options", {}))
    of_programs = {**described.specs, **described.settings}
    for name, value in of_programs.items():
        if name not in programs and values.get(name, value) != value:
            raise UserError(
                f"{name}={values[name]!r} is not that of the programs, {value!r}: leave it out"
            )
    values |= {**of_programs, "options": described.options}
    return values, Pair(model, guide, described.specs)


def _by_name(setting: str, value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if setting in _KINDS and (inspect.isclass(value) or inspect.isfunction(value)):
        return spec_of(_KINDS[setting], value)
    return value
