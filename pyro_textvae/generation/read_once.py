# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Equal sources of a batch are read once, however many sentences are drawn for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import Memory
from pyro_textvae.distributions.context import SharedMemory
from pyro_textvae.nn import Encoder

Read = Callable[[Tensor], tuple[Memory, Tensor]]


@contextmanager
def equal_sources_read_once(model: nn.Module) -> Iterator[None]:
    """Meanwhile every encoder of the model reads the distinct rows of a source alone.

    What it gives is that of all rows: the states are shared, see
    :class:`~pyro_textvae.distributions.context.SharedMemory`. A batch without equal rows is read as
    it stands. In evaluation mode alone, where equal rows have equal states.
    """
    encoders = [module for module in model.modules() if isinstance(module, Encoder)]
    for encoder in encoders:
        encoder.__dict__["read"] = partial(_read_distinct, encoder.read)
    try:
        yield
    finally:
        for encoder in encoders:
            del encoder.__dict__["read"]


def _read_distinct(read: Read, source: Tensor) -> tuple[Memory, Tensor]:
    distinct, row_of = torch.unique(source, dim=0, return_inverse=True)
    if len(distinct) == len(source):
        return read(source)
    memory, features = read(distinct)
    return SharedMemory(memory, row_of), features.index_select(0, row_of)
