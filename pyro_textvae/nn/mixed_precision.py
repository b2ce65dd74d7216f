# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Encoders and decoders in a short floating-point format; all else stays in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from pyro_textvae.distributions import Context
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.encoder import Encoder
from pyro_textvae.nn.recurrent_decoder import RecurrentDecoder
from pyro_textvae.nn.replaced_methods import Replacement


def mixed_precision(
    modules: nn.Module, device_type: str, dtype: torch.dtype = torch.bfloat16
) -> list[Replacement]:
    """What runs every :class:`Encoder` and :class:`Decoder` under ``torch.autocast``.

    Features that leave an encoder, and hidden states and log-probabilities that leave a decoder,
    are float32 again, so that locations, scales, draws, KL and losses are too. Networks that derive
    from neither class run in float32. So do recurrent networks, within encoders and decoders as
    well: cuDNN's know no other short format under autocast than float16, which needs its gradients
    scaled, and a state that is added to at each word wants all its bits.

    Parameters, their names and their precision stay as they are.

    :param device_type: ``cpu`` or ``cuda``: where the modules are.
    :returns: for :func:`replaced_methods`, which makes the difference and undoes it.
    """

    def short(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with torch.autocast(device_type, dtype):
                return _widened(method(*args, **kwargs), dtype)

        return run

    def wide(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with torch.autocast(device_type, enabled=False):
                return method(
                    *(_widened(value, dtype) for value in args),
                    **{name: _widened(value, dtype) for name, value in kwargs.items()},
                )

        return run

    replacements: list[Replacement] = []
    for module in modules.modules():
        if isinstance(module, Encoder):
            changes = {"forward": short, "encode_embeddings": short}
        elif isinstance(module, RecurrentDecoder):
            changes = {"unroll": wide, "token_log_prob": short}
        elif isinstance(module, Decoder):
            changes = {"unroll": short, "token_log_prob": short}
        elif isinstance(module, nn.RNNBase):
            changes = {"forward": wide}
        else:
            changes = {}
        replacements += [(module, n, change(getattr(module, n))) for n, change in changes.items()]
    return replacements


def _widened(value: Any, dtype: torch.dtype) -> Any:
    """``value`` in float32 where it is of ``dtype``, so too the parts of a tuple or a context."""
    if isinstance(value, PackedSequence):
        return value.float() if value.data.dtype == dtype else value
    if isinstance(value, Tensor):
        return value.float() if value.dtype == dtype else value
    if isinstance(value, Context):
        return value.map(lambda part: _widened(part, dtype))
    if isinstance(value, tuple):
        return tuple(_widened(each, dtype) for each in value)
    return value
