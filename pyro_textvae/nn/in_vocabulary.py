# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words that a network has no vector for."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.special_tokens import UNK


def in_vocabulary(ids: Tensor, vocab_size: int) -> Tensor:
    """The ids with ``<unk>`` in the place of words beyond the vocabulary, which sources can have.

    >>> import torch
    >>> in_vocabulary(torch.tensor([[4, 9, 2, 0]]), vocab_size=9)
    tensor([[4, 3, 2, 0]])
    """
    return ids.masked_fill(ids >= vocab_size, UNK)
