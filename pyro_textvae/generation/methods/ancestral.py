# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every token drawn from its probability."""

from __future__ import annotations

from pyro_textvae.generation.token_sampling import TokenSampling


class Ancestral(TokenSampling):
    """Draws every token given those before it: the sentences follow the model's distribution.

    At another ``temperature`` than 1 they follow no distribution that has a name: each token's is
    the model's to a power, renormalised, and the sentence's is not the model's to that power.

    >>> import torch
    >>> Ancestral().choose(torch.tensor([[0.0, float("-inf")], [float("-inf"), 0.0]]))
    tensor([0, 1])

    :param temperature: see :class:`~pyro_textvae.generation.token_sampling.TokenSampling`.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__(temperature)
        self.is_the_models_own = self.temperature == 1.0
