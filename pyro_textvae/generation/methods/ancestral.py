# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every token drawn from its probability."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.distributions.autoregressive_categorical import draw_class
from pyro_textvae.generation.method import DecodingMethod


class Ancestral(DecodingMethod):
    """Draws every token given those before it: the sentences follow the model's distribution.

    >>> import torch
    >>> Ancestral().choose(torch.tensor([[0.0, float("-inf")], [float("-inf"), 0.0]]))
    tensor([0, 1])
    """

    is_the_models_own = True

    def choose(self, scores: Tensor) -> Tensor:
        """One class drawn in each row, ``(N,)``."""
        return draw_class(scores)
