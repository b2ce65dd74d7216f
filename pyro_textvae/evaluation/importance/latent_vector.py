# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""All latents of a sentence as one vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.evaluation.importance.target import Latents


@dataclass(frozen=True)
class LatentVector:
    """How the values of some latent sites stand in one vector, one site after the other.

    >>> vector = LatentVector({"z_1": torch.Size([2]), "z_2": torch.Size([])})
    >>> z = vector.joined({"z_1": torch.zeros(5, 3, 2), "z_2": torch.ones(5, 3)})
    >>> z.shape
    torch.Size([5, 3, 3])
    >>> {name: value.shape for name, value in vector.apart(z).items()}
    {'z_1': torch.Size([5, 3, 2]), 'z_2': torch.Size([5, 3])}

    :param shapes: of an event of each site, in their order.
    """

    shapes: Mapping[str, torch.Size]

    def joined(self, latents: Latents) -> Tensor:
        """``(K, N, D)``, of values ``(K, N, *event)``."""
        flat = [
            latents[name] if len(shape) == 1 else latents[name].unsqueeze(-1).flatten(2)
            for name, shape in self.shapes.items()
        ]
        return flat[0] if len(flat) == 1 else torch.cat(flat, -1)

    def apart(self, z: Tensor) -> dict[str, Tensor]:
        """The inverse of :meth:`joined`."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = [z] if len(sizes) == 1 else z.split(sizes, -1)
        return {
            name: part if len(shape) == 1 else part.reshape(*z.shape[:-1], *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
