# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a program generated where it has no sentence."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_textvae.special_tokens import PAD


def without_masked(site: Any, tokens: Tensor | None = None) -> Tensor:
    """The ids of a text site, with padding in the place of sentences that the program masks.

    A program of documents draws as many sentences as its plate has places, and masks those that a
    shorter document does not have: they are no text.

    >>> import pyro
    >>> import torch
    >>> import pyro.distributions as dist
    >>> from pyro import poutine
    >>> def program():
    ...     with poutine.mask(mask=torch.tensor([True, False])):
    ...         pyro.sample("x", dist.Delta(torch.tensor([[5, 2], [6, 2]]), event_dim=1))
    >>> without_masked(poutine.trace(program).get_trace().nodes["x"]).tolist()
    [[5, 2], [0, 0]]

    :param site: of a trace in which it was drawn.
    :param tokens: ids in the place of its value, with further dimensions on the left.
    """
    value: Tensor = site["value"] if tokens is None else tokens
    if not isinstance(site["mask"], Tensor):
        return value
    batch_shape = value.shape[: value.dim() - site["fn"].event_dim]
    mask = site["mask"].expand(batch_shape)
    return value.where(mask.reshape(*batch_shape, *[1] * site["fn"].event_dim), PAD)
