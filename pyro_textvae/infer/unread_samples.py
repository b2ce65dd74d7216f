# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Bayesian weights that a program declares and does not read while it runs."""

from __future__ import annotations

from typing import Any

from pyro.poutine import Trace
from torch import nn

from pyro_textvae.distributions.samples_of_network import sample_names
from pyro_textvae.infer.given_globals import names_given


def check_samples_are_sites(program: Any, trace: Trace) -> None:
    """Check that every ``PyroSample`` of a program is a site of its trace.

    :raises ValueError: with the name of one that is not: a network that is run by ``log_prob``
        would read another draw each time, and none would count.
    """
    for module in program.modules() if isinstance(program, nn.Module) else ():
        for name in sample_names(module):
            full_name = ".".join(filter(None, [module._pyro_name, name]))  # type: ignore[list-item]
            if full_name not in trace.nodes and full_name not in names_given():
                raise ValueError(
                    f"the PyroSample {full_name!r} leaves no sample site: nothing reads it while "
                    f"{type(program).__name__} runs, and what a distribution reads later, in "
                    "log_prob, is another draw each time; read it in forward, or make it a plain "
                    "parameter"
                )
