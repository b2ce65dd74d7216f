# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A mixture of multinomials, by expectation maximisation from several starts."""

from __future__ import annotations

import torch
from torch import Tensor

_SHORT, _LONG = 8, 30
_SMOOTHING = 0.1


def fit_multinomial_mixture(
    counts: Tensor, num_components: int, generator: torch.Generator, num_starts: int = 50
) -> Tensor:
    r"""p(word | component), ``(K, V)``: that of the best of several starts.

    Each start is from the words of texts that are far from each other, drawn as by k-means++; the
    best after a few steps goes on. A tenth of a word is added to each count.

    .. math::
        p(c_n) = \sum_k \pi_k \prod_v \beta_{kv}^{c_{nv}}

    >>> counts = torch.tensor([[9.0, 1.0, 0.0], [8.0, 2.0, 0.0], [0.0, 1.0, 9.0]])
    >>> found = fit_multinomial_mixture(counts, 2, torch.Generator().manual_seed(0))
    >>> (found.sort(0).values > 0.8).tolist()
    [[False, False, False], [True, False, True]]

    Source: Nigam et al. (2000), Text Classification from Labeled and Unlabeled Documents using EM,
    https://doi.org/10.1023/A:1007692713085; Arthur and Vassilvitskii (2007), k-means++, for the
    starts.

    :param counts: of each word in each text, ``(N, V)``.
    """
    best, highest = torch.empty(0), -torch.inf
    roots = (counts / counts.sum(-1, keepdim=True).clamp(min=1)).sqrt()
    for _ in range(num_starts):
        words = counts[_far_apart(roots, num_components, generator)]
        # With one text's worth of the mean text, so that no word of any text is impossible.
        start = words + counts.mean(0) + 1e-6
        log_words, total = _expectation_maximisation(counts, start / start.sum(-1, True), _SHORT)
        if total > highest:
            best, highest = log_words.exp(), total
    return _expectation_maximisation(counts, best, _LONG)[0].exp()


def _expectation_maximisation(counts: Tensor, words: Tensor, steps: int) -> tuple[Tensor, float]:
    """log p(word | component) after so many steps, and the log-likelihood before the last."""
    log_words, log_share, total = words.log(), torch.zeros(len(words)), -torch.inf
    for _ in range(steps):
        log_joint = counts @ log_words.T + log_share.log_softmax(-1)
        share = log_joint.softmax(-1)
        log_words = (share.T @ counts + _SMOOTHING).log()
        log_words = log_words - log_words.logsumexp(-1, keepdim=True)
        log_share = (share.sum(0) + _SMOOTHING).log()
        total = float(log_joint.logsumexp(-1).sum())
    return log_words, total


def _far_apart(roots: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Numbers of texts, each drawn as far from those before as its squared distance says.

    :param roots: square roots of the shares of words in each text, whose distance is Hellinger's.
    """
    chosen = [int(torch.randint(len(roots), (), generator=generator))]
    nearest = torch.full((len(roots),), torch.inf)
    while len(chosen) < size:
        nearest = nearest.minimum(2 - 2 * roots @ roots[chosen[-1]]).clamp(min=0)
        weights = nearest if nearest.sum() > 0 else torch.ones_like(nearest)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
    return torch.tensor(chosen)
