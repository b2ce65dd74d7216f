# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's recurrent networks, in their own precision whatever autocast asks for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def run_recurrence(network: nn.Module, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """Call ``network(inputs, state)`` outside of autocast, in the precision of its weights.

    On processors without AVX-512 PyTorch has no LSTM in bfloat16, and cuDNN's networks take
    float16 under autocast whatever is asked for. So the numbers are the same on every processor.

    :param network: ``nn.LSTM`` or ``nn.GRU``, batch first.
    :param inputs: ``(N, T, E)``.
    :param state: as ``network`` takes it; None for zeros.
    :returns: what ``network`` returns: the top layer's states ``(N, T, H)``, and the last state of
        every layer.
    """
    device = inputs.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return network(inputs, state)
    dtype = network._flat_weights[0].dtype  # type: ignore[index]
    if isinstance(state, tuple):
        state = tuple(value.to(dtype) for value in state)
    elif state is not None:
        state = state.to(dtype)
    with torch.autocast(device, enabled=False):
        return network(inputs.to(dtype), state)
