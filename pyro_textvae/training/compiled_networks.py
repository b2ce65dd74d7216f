# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Encoders and decoders compiled by ``torch.compile``, for training steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.encoder import Encoder
from pyro_textvae.nn.plain_kernels import plain_kernels_are_asked_for
from pyro_textvae.nn.replaced_methods import Replacement

BACKEND = "inductor"
"""What ``torch.compile`` makes of the graphs it finds."""


def compiled_networks(modules: nn.Module, device: torch.device) -> list[Replacement]:
    """Every encoder's ``forward`` and every decoder's ``unroll``, compiled for sizes that vary.

    Each is compiled at its first call. The modules stay what they are, and are copied, saved and
    evaluated as such.

    :returns: for :func:`replaced_methods`, which puts them in the place of the modules' own.
    :raises UserError: where nothing can be compiled, with the reason.
    """
    _try_compiler(device)
    return [
        (module, name, _compiled(getattr(module, name)))
        for module in modules.modules()
        for name, kind in (("forward", Encoder), ("unroll", Decoder))
        if isinstance(module, kind)
    ]


def _compiled(method: Callable[..., Any]) -> Callable[..., Any]:
    fast = torch.compile(method, dynamic=True, backend=BACKEND)

    def run(*args: Any, **kwargs: Any) -> Any:
        # What is compiled has no second derivative.
        return (method if plain_kernels_are_asked_for() else fast)(*args, **kwargs)

    return run


def _try_compiler(device: torch.device) -> None:
    # What an earlier process left in a cache would need no compiler.
    options: Any = {"fx_graph_cache": False} if BACKEND == "inductor" else None
    try:
        torch.compile(torch.sin, backend=BACKEND, options=options)(torch.ones(2, device=device))
    except Exception as error:
        needed = "Triton and a C compiler" if device.type == "cuda" else "a C++ compiler"
        reason = in_one_line(error).partition(" Set TORCHDYNAMO_VERBOSE")[0]
        raise UserError(
            f"compile needs {needed}, and a first try failed ({reason}): install what is missing, "
            "or train without --compile"
        ) from error
