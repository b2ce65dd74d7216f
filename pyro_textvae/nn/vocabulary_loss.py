# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The cross-entropy over a vocabulary, with a limit to the scores that are held at once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_textvae.distributions.tracked_function import TrackedFunction
from pyro_textvae.nn.plain_linear import plain_linear

_SCORES_AT_ONCE = {"cpu": 2**22, "cuda": 2**26}
"""Scores that are held at a time: 16 MiB in float32, which a last-level cache nearly holds and the
allocator hands out again without asking the system; on a GPU as many as keep it busy."""

_SCORES_KEPT = {"cpu": 2**26, "cuda": 2**28}
"""So many of the first are kept for the backward pass, 256 MiB and 1 GiB; the others are computed
again. So neither time nor memory of a token leaps anywhere."""

_FEWEST_ROWS = 64
"""Below this many rows a matrix product no longer reaches its speed."""


def vocabulary_loss(hidden: Tensor, weight: Tensor, bias: Tensor, classes: Tensor) -> Tensor:
    """Minus the log-probability (nats) of each of M classes out of V, ``(M,)``.

    As ``cross_entropy(linear(hidden, weight, bias), classes, reduction="none")``, in value,
    gradient and second derivative, but with the scores of a few hundred rows at a time: beyond a
    limit they are computed once more in the backward pass.

    Under autocast the products are of its precision, and all else, the loss too, is float32.

    >>> hidden, weight, bias = torch.zeros(2, 8), torch.zeros(4, 8), torch.zeros(4)
    >>> vocabulary_loss(hidden, weight, bias, torch.tensor([0, 3])).exp()
    tensor([4., 4.])

    :param hidden: ``(M, H)``.
    :param weight: ``(V, H)``.
    :param bias: ``(V,)``.
    :param classes: int64 ``(M,)``.
    """
    device = hidden.device.type
    product = hidden.dtype
    if torch.is_autocast_enabled(device) and hidden.dtype is not torch.float64:
        product = torch.get_autocast_dtype(device)
        hidden, weight, bias = (value.float() for value in (hidden, weight, bias))
    inputs = (hidden, weight, bias)
    recorded = torch.is_grad_enabled() and any(value.requires_grad for value in inputs)
    limit = _SCORES_KEPT[device] if recorded else 0
    with torch.autocast(device, enabled=False):
        if torch.jit.is_tracing():
            # What a trace records must be differentiable by itself, without a backward in Python.
            scores = F.linear(hidden.to(product), weight.to(product), bias.to(product))
            return F.cross_entropy(scores.to(hidden.dtype), classes, reduction="none")
        return _VocabularyLoss.apply(*inputs, classes, product, limit)


class _VocabularyLoss(TrackedFunction):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        classes: Tensor,
        product: torch.dtype,
        limit: int,
    ) -> Tensor:
        kept: list[Tensor] = []
        losses = hidden.new_empty(len(hidden))
        log_total = torch.empty_like(losses)
        rounded = weight.to(product)
        for rows in _parts(hidden, weight):
            scores = _scores(hidden[rows], rounded, bias)
            score = scores.gather(1, classes[rows].unsqueeze(1)).squeeze(1)
            torch.log_softmax(scores, 1, out=scores)
            losses[rows] = -scores.gather(1, classes[rows].unsqueeze(1)).squeeze(1)
            log_total[rows] = score + losses[rows]
            if rows.stop * len(weight) <= limit:
                kept.append(scores)
        ctx.save_for_backward(hidden, weight, bias, classes, log_total)
        ctx.log_prob, ctx.num_kept, ctx.product = kept, len(kept), product
        return losses

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, classes, log_total = ctx.saved_tensors
        (gradient,) = outer
        with torch.autocast(hidden.device.type, enabled=False):
            if torch.is_grad_enabled():
                # A second derivative is asked for, which the arithmetic in place does not have.
                ctx.log_prob = []
                losses = F.cross_entropy(F.linear(hidden, weight, bias), classes, reduction="none")
                inputs = (hidden, weight, bias)
                wanted = [value for value in inputs if value.requires_grad]
                taken = iter(torch.autograd.grad(losses, wanted, gradient, create_graph=True))
                gradients = [next(taken) if value.requires_grad else None for value in inputs]
            else:
                gradients = _gradients(ctx, hidden, weight, bias, classes, log_total, gradient)
        return *gradients, None, None, None


def _gradients(
    ctx: Any,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    classes: Tensor,
    log_total: Tensor,
    gradient: Tensor,
) -> list[Tensor | None]:
    of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
    of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
    of_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
    rounded = weight.to(ctx.product)
    # To weigh rows by their gradient is cheaper in H columns than in V.
    weighed = hidden * gradient.unsqueeze(1)
    # Written over, to ask for no more memory: a second backward pass computes them again.
    kept, ctx.log_prob = ctx.log_prob, []
    for number, rows in enumerate(_parts(hidden, weight)):
        if number < len(kept):
            share = kept[number].exp_()
        else:
            share = _scores(hidden[rows], rounded, bias)
            if number < ctx.num_kept:
                # To the bit what the first pass had.
                torch.log_softmax(share, 1, out=share)
            else:
                share.sub_(log_total[rows].unsqueeze(1))
            share.exp_()
        share.scatter_add_(1, classes[rows].unsqueeze(1), share.new_full((len(share), 1), -1.0))
        short = share.to(ctx.product)
        if of_hidden is not None:
            of_hidden[rows] = short @ rounded
        if of_weight is not None and ctx.product is hidden.dtype:
            of_weight.addmm_(short.T, weighed[rows])
        elif of_weight is not None:
            of_weight += short.T @ weighed[rows].to(ctx.product)
        if of_bias is not None:
            of_bias.addmv_(share.T, gradient[rows])
    if of_hidden is not None:
        of_hidden.mul_(gradient.unsqueeze(1))
    return [of_hidden, of_weight, of_bias]


def _scores(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The scores of a part, in the precision of ``hidden`` whatever the product's is."""
    if weight.dtype is hidden.dtype:
        return plain_linear(hidden, weight, bias)
    return hidden.to(weight.dtype) @ weight.T + bias


def _parts(hidden: Tensor, weight: Tensor) -> list[slice]:
    size = max(_FEWEST_ROWS, _SCORES_AT_ONCE[hidden.device.type] // len(weight))
    total = len(hidden)
    return [slice(first, min(first + size, total)) for first in range(0, total, size)]
