# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Refuse ``pyro.param`` statements of modules, which neither a trainer steps nor a run saves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor, nn

from pyro_textvae.errors import UserError
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.running import same_random_state, to_device
from pyro_textvae.infer.simulate import fields_of, name_of


def check_statements(model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor]) -> None:
    """Check that all parameters that a pair uses on a batch are those of its modules.

    It uses up no random number.

    :raises UserError: as :func:`check_traced_statements`.
    """
    batch = to_device(batch, nn.ModuleList([model, guide]))
    with (
        isolated(model, guide),
        same_random_state(),
        torch.no_grad(),
        pyro.validation_enabled(False),
        poutine.block(),
        warnings.catch_warnings(),
    ):
        # Of a frozen parameter, which is none the worse for it.
        warnings.filterwarnings("ignore", ".* was not registered in the param store")
        of_guide = poutine.trace(guide).get_trace(**fields_of(guide, batch))
        replayed = poutine.replay(model, trace=of_guide)
        of_model = poutine.trace(replayed).get_trace(**fields_of(model, batch))
        check_traced_statements({guide: of_guide, model: of_model})


def check_traced_statements(traces: Mapping[nn.Module, Trace]) -> None:
    """Check that all parameters of the traces of programs are those of their modules.

    :raises UserError: with the name of another.
    """
    trained = {id(parameter) for program in traces for parameter in program.parameters()}
    for program, trace in traces.items():
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
