# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A dilated convolution that sees no later place, over whole sentences or one place at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes


class CausalConvolution(nn.Linear):
    """One linear map of ``kernel_size`` inputs, ``dilation`` places apart, the last one here.

    Before the first place stands a vector that the caller may give, otherwise zeros. The shifted
    inputs are laid side by side and mapped at once, which on a CPU is as fast as
    ``torch.nn.functional.conv1d`` and needs no other order of the dimensions.

    >>> layer = CausalConvolution(4, 8, kernel_size=3, dilation=2)
    >>> layer(torch.zeros(2, 7, 4)).shape, layer.reach
    (torch.Size([2, 7, 8]), 4)

    :param kernel_size: at least 2.
    :raises ValueError: for a size out of range, by its name.
    """

    def __init__(self, input_dim: int, output_dim: int, kernel_size: int, dilation: int) -> None:
        check_sizes(minimum=2, kernel_size=kernel_size)
        check_sizes(input_dim=input_dim, output_dim=output_dim, dilation=dilation)
        super().__init__(kernel_size * input_dim, output_dim)
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.input_dim = input_dim

    @property
    def reach(self) -> int:
        """How many places back the farthest input lies."""
        return (self.kernel_size - 1) * self.dilation

    def forward(self, inputs: Tensor, before: Tensor | None = None) -> Tensor:
        """The output at every place.

        :param inputs: ``(*B, T, input_dim)``.
        :param before: what stands at every place before the first, ``(*S, input_dim)``.
        :returns: ``(*broadcast(B, S), T, output_dim)``.
        """
        length = inputs.shape[-2]
        if before is None:
            # An input that lies before the first word from every place is zero, and left out.
            seen = min(self.kernel_size, 1 + (length - 1) // self.dilation)
            inputs = F.pad(inputs, (0, 0, (seen - 1) * self.dilation, 0))
        else:
            seen = self.kernel_size
            shape = torch.broadcast_shapes(inputs.shape[:-2], before.shape[:-1])
            before = before.unsqueeze(-2).expand(*shape, self.reach, -1)
            inputs = torch.cat([before, inputs.expand(*shape, -1, -1)], -2)
        shifted = [
            inputs[..., tap * self.dilation : tap * self.dilation + length, :]
            for tap in range(seen)
        ]
        return F.linear(torch.cat(shifted, -1), self.weight[:, -seen * self.input_dim :], self.bias)

    def window(self, before: Tensor | None, batch_size: int) -> Tensor:
        """What :meth:`advance` starts from, ``(batch_size, reach, input_dim)``."""
        if before is None:
            return self.weight.new_zeros(batch_size, self.reach, self.input_dim)
        return before.unsqueeze(-2).expand(batch_size, self.reach, self.input_dim)

    def advance(self, inputs: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        """The output ``(N, output_dim)`` at the next place, and the new window.

        :param inputs: the input at that place, ``(N, input_dim)``.
        :param window: the ``reach`` inputs before it, ``(N, reach, input_dim)``; not changed.
        """
        window = torch.cat([window, inputs.unsqueeze(-2)], -2)
        output = F.linear(window[:, :: self.dilation].flatten(-2), self.weight, self.bias)
        return output, window[:, 1:]
