# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the words of a topic stand near each other in text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

WINDOW = 10
"""Words of a window; a shorter text is one window."""


def normalised_pmi(words: Tensor, texts: Iterable[Tensor], window: int = WINDOW) -> Tensor:
    r"""The mean NPMI of all pairs of words of each topic, ``(K,)``; from -1 to 1.

    .. math::
        \operatorname{NPMI}(v, w) = \frac{\log \frac{p(v, w)}{p(v)\, p(w)}}{-\log p(v, w)}

    p is the share of windows of a text, one at every word, that have both words, or one. A pair
    that never stands in one window has -1, the limit.

    >>> texts = [torch.tensor([4, 5]), torch.tensor([4, 5]), torch.tensor([6]), torch.tensor([7])]
    >>> normalised_pmi(torch.tensor([[4, 5], [4, 6]]), texts)
    tensor([ 1., -1.], dtype=torch.float64)

    Source: Bouma (2009), Normalized (Pointwise) Mutual Information in Collocation Extraction; Röder
    et al. (2015), Exploring the Space of Topic Coherence Measures,
    https://dl.acm.org/doi/10.1145/2684822.2685324, where it is C_NPMI.

    :param words: ids of the words of each topic, ``(K, n)`` with n at least 2.
    :param texts: ids of the words of each text.
    :raises ValueError: for fewer than two words a topic, and without a text.
    """
    if words.shape[1] < 2:
        raise ValueError(f"coherence is of pairs of words, got {words.shape[1]} a topic")
    ids, place = np.unique(words.numpy(), return_inverse=True)
    place = place.reshape(words.shape)
    together = np.zeros((len(ids), len(ids)))
    num_windows = 0
    for text in texts:
        of_text = text.numpy()
        starts = max(1, len(of_text) - window + 1)
        num_windows += starts
        at = np.flatnonzero(np.isin(of_text, ids))
        if not len(at):
            continue
        there, word = np.unique(of_text[at], return_inverse=True)
        within = np.zeros((starts, len(there)))
        for offset in range(min(window, len(of_text))):
            # The windows that have their word number ``offset`` at each of these places.
            start = at - offset
            inside = (start >= 0) & (start < starts)
            within[start[inside], word[inside]] = 1.0
        rows = np.searchsorted(ids, there)
        together[np.ix_(rows, rows)] += within.T @ within
    if not num_windows:
        raise ValueError("coherence needs texts to count windows in, got none")
    both = together / num_windows
    alone = np.diagonal(both)
    with np.errstate(divide="ignore", invalid="ignore"):
        npmi = np.log(both / np.outer(alone, alone)) / -np.log(both)
    npmi = np.where(both == 0, -1.0, np.where(both == 1, 1.0, npmi))
    left, right = np.triu_indices(words.shape[1], 1)
    return torch.from_numpy(npmi[place[:, left], place[:, right]].mean(1))
