# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The likeliest token at every step."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.distributions.autoregressive_categorical import likeliest_class
from pyro_textvae.generation.method import DecodingMethod


class Greedy(DecodingMethod):
    """Takes the likeliest token given those before it, not the likeliest sentence.

    >>> import torch
    >>> Greedy().choose(torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]))
    tensor([1, 0])
    """

    is_random = False

    def choose(self, scores: Tensor) -> Tensor:
        """The class of the highest score in each row, ``(N,)``."""
        return likeliest_class(scores)
