# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The guide of a model without latents."""

from __future__ import annotations

from pyro.nn import PyroModule
from torch import Tensor


class EmptyGuide(PyroModule):
    """Nothing to infer: the bound of a model without latents is its exact likelihood.

    >>> import torch
    >>> from pyro import poutine
    >>> guide = EmptyGuide()
    >>> poutine.trace(guide).get_trace(torch.tensor([[4, 5, 2]])).stochastic_nodes
    []
    """

    def __init__(self) -> None:
        super().__init__("guide")

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> None:
        """Sample nothing."""
