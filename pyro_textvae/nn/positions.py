# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Places in a sentence as vectors, for networks that would not see the order of words."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LONGEST_WAVE = 10_000.0


def sinusoidal_positions(
    first: int, length: int, dim: int, *, dtype: torch.dtype, device: torch.device
) -> Tensor:
    r"""Sines and cosines of the places from ``first`` on, ``(length, dim)``.

    .. math::
        P_{p, 2i} = \sin(p / 10000^{2i / d}), \qquad P_{p, 2i + 1} = \cos(p / 10000^{2i / d})

    No parameter, and no longest sentence.

    >>> cpu = torch.device("cpu")
    >>> sinusoidal_positions(0, 5, 8, dtype=torch.float32, device=cpu).shape
    torch.Size([5, 8])

    Source: Vaswani et al. (2017), Attention Is All You Need, section 3.5,
    https://arxiv.org/abs/1706.03762.
    """
    # Places above 256 are no longer told apart in half precision.
    exact = torch.promote_types(dtype, torch.float32)
    places = torch.arange(first, first + length, dtype=exact, device=device)
    even = torch.arange(0, dim, 2, dtype=exact, device=device)
    angles = places.unsqueeze(-1) * torch.exp(even * (-math.log(_LONGEST_WAVE) / dim))
    waves = torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
    return waves[:, :dim].to(dtype)
