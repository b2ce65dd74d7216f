# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The cross-entropy over a vocabulary, without ever holding the scores of all tokens at once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_SCORES_AT_ONCE = 2**22
"""Scores that are held at a time: 16 MiB in float32, which a last-level cache nearly holds."""

_FEWEST_ROWS = 64
"""Below this many rows a matrix product no longer reaches its speed."""


def vocabulary_loss(hidden: Tensor, weight: Tensor, bias: Tensor, classes: Tensor) -> Tensor:
    """Minus the log-probability (nats) of each of M classes out of V, ``(M,)``.

    As ``cross_entropy(linear(hidden, weight, bias), classes, reduction="none")``, in value,
    gradient and second derivative, but with the memory of a few hundred rows of scores instead of
    M: they are computed once more in the backward pass.

    :param hidden: ``(M, H)``. :param weight: ``(V, H)``. :param bias: ``(V,)``.
    :param classes: int64 ``(M,)``.
    """
    if len(hidden) * len(weight) <= _SCORES_AT_ONCE and torch.is_grad_enabled():
        # So few fit at once, and need not be computed again.
        return F.cross_entropy(F.linear(hidden, weight, bias), classes, reduction="none")
    return _VocabularyLoss.apply(hidden, weight, bias, classes)


class _VocabularyLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, classes: Tensor) -> Tensor:
        losses = torch.empty(len(hidden), dtype=hidden.dtype, device=hidden.device)
        log_total = torch.empty_like(losses)
        for rows in _parts(hidden, weight):
            scores = torch.addmm(bias, hidden[rows], weight.T)
            chosen = scores.gather(1, classes[rows].unsqueeze(1)).squeeze(1)
            log_total[rows] = scores.logsumexp(1)
            losses[rows] = log_total[rows] - chosen
        ctx.save_for_backward(hidden, weight, bias, classes, log_total)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, classes, log_total = ctx.saved_tensors
        (gradient,) = gradients
        if torch.is_grad_enabled():
            # A second derivative is asked for, which the arithmetic in place has not.
            losses = F.cross_entropy(F.linear(hidden, weight, bias), classes, reduction="none")
            wanted = [value for value in (hidden, weight, bias) if value.requires_grad]
            found = iter(torch.autograd.grad(losses, wanted, gradient, create_graph=True))
            return (
                *(next(found) if v.requires_grad else None for v in (hidden, weight, bias)),
                None,
            )
        of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        of_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        for rows in _parts(hidden, weight):
            scores = torch.addmm(bias, hidden[rows], weight.T)
            share = scores.sub_(log_total[rows].unsqueeze(1)).exp_()
            share.mul_(gradient[rows].unsqueeze(1))
            share.scatter_add_(1, classes[rows].unsqueeze(1), -gradient[rows].unsqueeze(1))
            if of_hidden is not None:
                torch.mm(share, weight, out=of_hidden[rows])
            if of_weight is not None:
                of_weight.addmm_(share.T, hidden[rows])
            if of_bias is not None:
                of_bias += share.sum(0)
        return of_hidden, of_weight, of_bias, None


def _parts(hidden: Tensor, weight: Tensor) -> list[slice]:
    size = max(_FEWEST_ROWS, _SCORES_AT_ONCE // len(weight))
    return [slice(first, first + size) for first in range(0, len(hidden), size)]
