# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Batches of documents alike in their number of sentences and in their longest one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_textvae.data.batching import COST_NOISE, check_plan, sizes_within, split_order


def plan_document_batches(
    shapes: np.ndarray,
    batch_size: int | None = None,
    *,
    max_tokens: int | None = None,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
) -> list[np.ndarray]:
    """The document indices of every batch; each document is in exactly one.

    What a batch costs is its size with its padding, N S T for S sentences of T tokens: documents
    go by their number of sentences, then by their longest one, with the noise of
    :func:`~pyro_textvae.data.plan_batches` on both.

    >>> shapes = np.array([[1, 9, 0], [3, 5, 0], [1, 8, 0], [3, 4, 0]])
    >>> [batch.tolist() for batch in plan_document_batches(shapes, 2, shuffle=False)]
    [[2, 0], [3, 1]]
    >>> [batch.tolist() for batch in plan_document_batches(shapes, max_tokens=20, shuffle=False)]
    [[2, 0], [3], [1]]

    :param shapes: sentences of each document, tokens of its longest one, and tokens of its source
        (0 for none), ``(N, 3)``.
    :param batch_size: documents in a batch; by default 32.
    :param max_tokens: instead, as many documents as keep their tokens within it, those of sources
        and all padding counted; a longer document stands alone.
    :param seed: of the draws of all epochs.
    :param epoch: which of them.
    :param shuffle: whether to draw at all.
    :raises UserError: as :func:`~pyro_textvae.data.plan_batches`.
    """
    check_plan(batch_size, max_tokens, seed, epoch, shuffle)
    if not len(shapes):
        return []
    random = np.random.default_rng([seed, epoch])
    num_sentences, longest, source = shapes.T
    # What a sentence costs, with its share of the source.
    width = longest + source / num_sentences
    if shuffle:
        noise = random.random((3, len(shapes)))
        num_sentences = np.floor(num_sentences * (1 + COST_NOISE * noise[0]))
        width = width * (1 + COST_NOISE * noise[1]) + noise[2]
    # Up and down in turn, so that a batch across two numbers of sentences is of like ones too.
    order = np.lexsort((np.where(num_sentences % 2, width, -width), num_sentences))
    sizes = None
    if max_tokens is not None:
        # Padded to most sentences, to the longest one and to the longest source.
        sizes = sizes_within(
            shapes[order], max_tokens, lambda most: most[:, 0] * most[:, 1] + most[:, 2]
        )
    return split_order(order, sizes, batch_size, random if shuffle else None)


def num_places(shapes: np.ndarray, plan: Sequence[np.ndarray]) -> int:
    """Places for tokens of text in all batches of a plan, padding and all.

    >>> num_places(np.array([[1, 9, 0], [3, 5, 0]]), [np.array([0, 1])])
    54

    :param shapes: sentences of each document and tokens of its longest one, first, ``(N, F)``.
    """
    return sum(len(rows) * int(shapes[rows, :2].max(0).prod()) for rows in plan)
