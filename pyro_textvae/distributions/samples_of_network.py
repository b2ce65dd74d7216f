# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The Bayesian weights of a network: drawn when a distribution is made, kept for when it scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pyro.nn import PyroModule, PyroSample
from pyro.poutine.messenger import block_messengers
from pyro.poutine.plate_messenger import PlateMessenger
from torch import Tensor, nn

DrawnSamples = tuple[tuple[nn.Module, dict[str, Tensor]], ...]
"""Modules with attributes that are a ``PyroSample``, and the value of each; nothing for a network
whose parameters are plain."""


def draw_samples(network: Any) -> DrawnSamples:
    """Read every ``PyroSample`` of a network, under the effect handlers that are in place.

    Reading one is a sample statement. A network that runs in ``log_prob`` runs when the handlers
    have gone, where each reading would be another draw, without a site. No plate counts here: the
    weights of a network are the same for all sentences.

    A module that hangs below plain ones, which pass no name on, has its place in the network for a
    name: ``token_scores.bias``.
    """
    if not isinstance(network, nn.Module):
        return ()
    if not any(isinstance(module, PyroModule) for module in network.modules()):
        return ()
    drawn = []
    with ExitStack() as contexts, block_messengers(_is_plate):
        for place, module in network.named_modules():
            for name, part in module.named_children() if isinstance(module, PyroModule) else ():
                if isinstance(part, PyroModule):
                    getattr(module, name)  # Gives a part that was converted in place its name.
            names = sample_names(module)
            if not names:
                continue
            if not module._pyro_name:
                module._pyro_name = place
            contexts.enter_context(module._pyro_context)
            drawn.append((module, {name: getattr(module, name) for name in names}))
    return tuple(drawn)


def sample_names(module: nn.Module) -> list[str]:
    """The attributes of a module, without its parts, that are a ``PyroSample``."""
    if not isinstance(module, PyroModule):
        return []
    of_class = (
        name
        for cls in type(module).__mro__
        for name, value in vars(cls).items()
        if isinstance(value, PyroSample)
    )
    return list(dict.fromkeys([*module._pyro_samples, *of_class]))


@contextmanager
def samples_in_place(drawn: DrawnSamples) -> Iterator[None]:
    """Let a network find the values that were drawn, wherever it reads one.

    >>> import pyro.distributions as dist
    >>> import torch
    >>> layer = PyroModule[nn.Linear](2, 3)
    >>> layer.bias = PyroSample(dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    >>> drawn = draw_samples(layer)
    >>> with samples_in_place(drawn):
    ...     bool((layer(torch.zeros(2)) == layer(torch.zeros(2))).all())
    True
    """
    undo: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for module, values in drawn:
            placed: dict[str, Any] = dict(values)
            if isinstance(module, nn.RNNBase):
                # It reads its weights from a list that it made when it was built.
                names = module._flat_weights_names
                placed["_flat_weights"] = [
                    values[n] if n in values else getattr(module, n) for n in names
                ]
            for name, value in placed.items():
                undo.append((module.__dict__, name, module.__dict__.get(name, _MISSING)))
                module.__dict__[name] = value
        yield
    finally:
        for attributes, name, before in reversed(undo):
            if before is _MISSING:
                del attributes[name]
            else:
                attributes[name] = before


def _is_plate(messenger: Any) -> bool:
    return isinstance(messenger, PlateMessenger)


_MISSING: Any = object()
