# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tokens drawn among those that are likely beside the likeliest."""

from __future__ import annotations

import math

from torch import Tensor

from pyro_textvae.config.checks import FACTOR, check_argument
from pyro_textvae.generation.token_sampling import TokenSampling


class MinP(TokenSampling):
    r"""Draws every token among those of at least ``min_p`` times the likeliest one's probability.

    .. math::
        \text{kept} = \{w : p(w) \ge \text{min\_p} \max_v p(v)\}

    >>> import torch
    >>> MinP(min_p=0.5).truncated(torch.tensor([[0.5, 0.3, 0.2]]).log()).exp()
    tensor([[0.5000, 0.3000, 0.0000]])

    Source: Nguyen et al. (2025), Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM
    Outputs, https://arxiv.org/abs/2407.01082.

    :param min_p: in (0, 1]; 1 keeps the likeliest alone.
    :param temperature: see :class:`~pyro_textvae.generation.token_sampling.TokenSampling`.
    :raises UserError: for a value out of range.
    """

    def __init__(self, min_p: float = 0.1, temperature: float = 1.0) -> None:
        super().__init__(temperature)
        self.min_p = check_argument("min_p", min_p, float, FACTOR)

    def truncated(self, scores: Tensor) -> Tensor:
        """See :class:`~pyro_textvae.generation.token_sampling.TokenSampling`."""
        least = scores.amax(-1, keepdim=True) + math.log(self.min_p)
        return scores.masked_fill(scores < least, -float("inf"))
