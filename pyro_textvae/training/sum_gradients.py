# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Gradients summed over processes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from pyro_textvae.processes import sums_of_all
from pyro_textvae.training.early_sums import EarlySums

SMALL = 2**15
"""Gradients of fewer numbers go together, in one message."""


def embedding_tables(modules: nn.Module) -> set[int]:
    """The ids of parameters of which a batch may use few rows: tables of embeddings."""
    return {id(m.weight) for m in modules.modules() if isinstance(m, nn.Embedding)}


def is_dense_and_large(parameter: nn.Parameter, tables: Collection[int]) -> bool:
    """Whether all of a gradient is sent, in a message of its own."""
    is_large = parameter.numel() >= SMALL and parameter.is_contiguous()
    return is_large and not _is_sparse(parameter, tables)


def sum_gradients(
    parameters: Sequence[nn.Parameter], tables: Collection[int], early: EarlySums
) -> None:
    """Add the gradients of all processes, in place.

    A parameter that has one in any process has one in all afterwards. Of tables on the processor
    only rows that have a gradient somewhere are sent.

    :param tables: ids of parameters that are tables, see :func:`embedding_tables`.
    :param early: of parameters that are summed as their gradients come.
    """
    sparse = [p for p in parameters if _is_sparse(p, tables)]
    flags = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8)
    used = [_used_rows(parameter) for parameter in sparse]
    seen = torch.cat([flags, *used])
    sums_of_all([seen], maximum=True)
    rows = dict(
        zip(
            map(id, sparse),
            seen[len(flags) :].split([len(part) for part in used]),
            strict=True,
        )
    )
    with_gradient = [
        parameter
        for parameter, has in zip(parameters, seen[: len(flags)].tolist(), strict=True)
        if has
    ]
    for parameter in with_gradient:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    summed = early.begin_rest(with_gradient)
    sent: list[Tensor] = []
    back: list[tuple[Tensor, Tensor | None, Tensor]] = []
    small: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for parameter in with_gradient:
        gradient = parameter.grad
        if gradient is None or id(parameter) in summed:
            continue
        if id(parameter) in rows:
            index = rows[id(parameter)].nonzero().squeeze(1)
            if 2 * len(index) < len(gradient):
                part = gradient[index]
                sent.append(part)
                back.append((gradient, index, part))
                continue
        if gradient.numel() < SMALL or not gradient.is_contiguous():
            small.setdefault((gradient.dtype, gradient.device), []).append(gradient)
        else:
            sent.append(gradient)
    for gradients in small.values():
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        sent.append(flat)
        sizes = [gradient.numel() for gradient in gradients]
        back += [(g, None, v) for g, v in zip(gradients, flat.split(sizes), strict=True)]
    sums_of_all(sent)
    early.wait()
    for gradient, index, total in back:
        if index is None:
            gradient.copy_(total.view_as(gradient))
        else:
            gradient[index] = total


def _is_sparse(parameter: nn.Parameter, tables: Collection[int]) -> bool:
    return id(parameter) in tables and parameter.device.type == "cpu"


def _used_rows(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        return torch.zeros(len(parameter), dtype=torch.uint8)
    return (parameter.grad.abs().amax(-1) != 0).to(torch.uint8)
