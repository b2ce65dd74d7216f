# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words of a source beyond the vocabulary, told apart without a vector of each."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.nn.positions import sinusoidal_positions

_SIZE = 0.5
"""Of the waves that tell them apart: about that of trained word vectors."""


def order_of_unknown_words(ids: Tensor, vocab_size: int) -> Tensor:
    """Which of its row's different words beyond the vocabulary stands at each place, ``(N, S)``.

    1 for the first that there is and wherever it stands again, 2 for the next; 0 for other words.

    >>> order_of_unknown_words(torch.tensor([[4, 11, 9, 11], [9, 2, 0, 0]]), vocab_size=9)
    tensor([[0, 1, 2, 1],
            [1, 0, 0, 0]])

    :param ids: ``(N, S)``.
    """
    beyond = ids >= vocab_size
    # The place where the word of each place stood first.
    first = (ids.unsqueeze(-1) == ids.unsqueeze(-2)).to(torch.uint8).argmax(-1)
    is_first = first == torch.arange(ids.shape[-1], device=ids.device)
    number = (beyond & is_first).cumsum(-1)
    return number.gather(-1, first).masked_fill(~beyond, 0)


def tell_unknown_words_apart(vectors: Tensor, ids: Tensor, vocab_size: int) -> Tensor:
    """The vectors of words, to which those beyond the vocabulary add one of their order.

    They have the vector of ``<unk>`` otherwise, and a reader could not tell that one of them is
    named again. With none of them the vectors themselves.

    Source: the anonymised entities of Hermann et al. (2015), Teaching Machines to Read and
    Comprehend, https://arxiv.org/abs/1506.03340, by order of appearance.

    :param vectors: ``(N, S, E)``.
    :param ids: ``(N, S)``.
    """
    if not bool((ids >= vocab_size).any()):
        return vectors
    order = order_of_unknown_words(ids, vocab_size)
    waves = sinusoidal_positions(
        0,
        int(order.max()) + 1,
        vectors.shape[-1],
        dtype=vectors.dtype,
        device=vectors.device,
    )
    waves[0] = 0.0
    return vectors + _SIZE * waves[order]
