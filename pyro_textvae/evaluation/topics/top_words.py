# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The likeliest words of topics, and how different topics are by them."""

from __future__ import annotations

from torch import Tensor


def top_words(topics: Tensor, count: int = 10) -> Tensor:
    """Ids of the likeliest words of each topic, the likeliest first, ``(K, count)`` or fewer.

    >>> import torch
    >>> top_words(torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]]), 2).tolist()
    [[1, 2], [0, 2]]

    :param topics: probabilities of ids, ``(K, V)``.
    """
    return topics.topk(min(count, topics.shape[1]), 1).indices


def diversity(topics: Tensor, count: int = 25) -> float:
    """The share of different words among the ``count`` likeliest of every topic.

    1 where no two topics share one, 1 / K where all topics are the same.

    >>> import torch
    >>> diversity(torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]]), 2)
    0.75

    Source: Dieng et al. (2020), Topic Modeling in Embedding Spaces, section 6,
    https://aclanthology.org/2020.tacl-1.29/.

    :param topics: probabilities of ids, ``(K, V)``.
    """
    words = top_words(topics, count)
    return len(words.unique()) / words.numel()
