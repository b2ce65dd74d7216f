# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Functions with a backward of their own, for tensors whose origin Pyro records too."""

from __future__ import annotations

from typing import Any

import torch
from pyro.ops.provenance import (
    ProvenanceTensor,
    detach_provenance,
    get_provenance,
    track_provenance,
)


class TrackedFunction(torch.autograd.Function):
    """A function whose gradient survives where Pyro records which draws a tensor comes from.

    Pyro does so in ``TraceGraph_ELBO``, ``get_dependencies`` and ``render_model``, by tensors that
    stand for others. PyTorch's own operations take them apart; a function with a backward in Python
    would give its gradient to what stands there, and no later operation would look at it.

    >>> class Double(TrackedFunction):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return torch.empty_like(x).copy_(2 * x)
    ...
    ...     @staticmethod
    ...     def backward(ctx, gradient):
    ...         return 2 * gradient
    >>> x = torch.ones(3, requires_grad=True)
    >>> y = Double.apply(track_provenance(x, frozenset({"z"})))
    >>> sorted(get_provenance(y))
    ['z']
    >>> (1.0 * y).sum().backward()
    >>> x.grad
    tensor([2., 2., 2.])
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """The function's value, from the same draws as its arguments."""
        if not any(isinstance(value, ProvenanceTensor) for value in args):
            return super().apply(*args)
        given: Any = list(args)
        return track_provenance(super().apply(*detach_provenance(given)), get_provenance(given))
