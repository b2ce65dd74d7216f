# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Networks without the fast kernels that cannot be differentiated twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

_ASKED_FOR = ContextVar("plain_kernels", default=False)


@contextmanager
def plain_kernels() -> Iterator[None]:
    """For what the fast ones lack: second derivatives, a backward pass in evaluation mode.

    Recurrent networks go without NVIDIA's kernels, attention without the fused ones, and no network
    by what ``torch.compile`` made of it. It is the forward pass that must run inside: what it
    records is differentiable anywhere.
    """
    enabled = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    before = _ASKED_FOR.set(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _ASKED_FOR.reset(before)
        torch.backends.cudnn.enabled = enabled


def plain_kernels_are_asked_for() -> bool:
    """Whether this is called inside of :func:`plain_kernels`.

    >>> with plain_kernels():
    ...     plain_kernels_are_asked_for()
    True
    """
    return _ASKED_FOR.get()
