# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Refuse ``pyro.param`` statements of modules, which neither a trainer steps nor a run saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_textvae.errors import UserError
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.running import same_random_state, to_device
from pyro_textvae.infer.simulate import fields_of, name_of


def check_statements(model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor]) -> None:
    """Check that all parameters that a pair uses on a batch are those of its modules.

    It uses up no random number.

    :raises UserError: with the name of another.
    """
    programs = nn.ModuleList([model, guide])
    batch = to_device(batch, programs)
    with (
        isolated(model, guide),
        same_random_state(),
        torch.no_grad(),
        pyro.validation_enabled(False),
        poutine.block(),
    ):
        of_guide = poutine.trace(guide).get_trace(**fields_of(guide, batch))
        replayed = poutine.replay(model, trace=of_guide)
        of_model = poutine.trace(replayed).get_trace(**fields_of(model, batch))
        statements = {guide: of_guide, model: of_model}
        trained = {id(parameter) for parameter in programs.parameters()}
        for program, trace in statements.items():
            for name, site in trace.nodes.items():
                if site["type"] == "param" and id(_unconstrained(site["value"])) not in trained:
                    raise UserError(
                        f"pyro.param({name!r}) of {name_of(program)} is a parameter of Pyro's "
                        "store and of no module, so that it would be neither trained nor saved: "
                        f"keep it in __init__, self.{name.rpartition('.')[2]} = "
                        "PyroParam(initial, constraint), or write the program as a function"
                    )


def _unconstrained(value: Any) -> Tensor:
    return value.unconstrained() if hasattr(value, "unconstrained") else value
