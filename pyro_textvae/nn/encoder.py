# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a guide asks of an encoder network."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A network that reads sentences; ``output_dim`` is the width of its features."""

    output_dim: int

    @abstractmethod
    def forward(self, tokens: Tensor) -> Tensor:
        """Features ``(N, output_dim)`` of right-padded ``tokens`` ``(N, T)``.

        Padding must have no effect.
        """
