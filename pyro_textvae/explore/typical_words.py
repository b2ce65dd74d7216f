# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The words that tell the sentences of a cluster from the others'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pyro_textvae.special_tokens import SPECIAL_TOKENS


def typical_words(
    sentences: Sequence[Sequence[str]], clusters: np.ndarray, size: int = 6
) -> list[list[str]]:
    r"""The most typical words of every cluster, by class-based tf-idf.

    .. math::
        W_{t,c} = \sqrt{\mathrm{tf}_{t,c}} \, \log\left(1 + \frac{A}{f_t}\right)

    for the share tf of a word t among the words of a cluster c, its number f in all of them, and
    the mean number A of words of a cluster. The root, as in BERTopic's ``reduce_frequent_words``,
    keeps words that are frequent everywhere down, for none are left out beforehand. What has no
    letter or digit, and special tokens, are no words; of equal weights the first by the alphabet
    comes first.

    Source: Grootendorst (2022), BERTopic, section 3.3, https://arxiv.org/abs/2203.05794.

    >>> sentences = [["the", "cat"], ["the", "cat"], ["the", "dog"], ["the", "dog"]]
    >>> typical_words(sentences, np.array([0, 0, 1, 1]), size=1)
    [['cat'], ['dog']]

    :param sentences: the words of each.
    :param clusters: the number of each sentence's cluster, from 0, ``(N,)``.
    :param size: words of each cluster, at most.
    """
    counts = [Counter[str]() for _ in range(int(clusters.max(initial=-1)) + 1)]
    for words, cluster in zip(sentences, clusters.tolist(), strict=True):
        counts[cluster].update(filter(_is_word, words))
    total = Counter[str]()
    for count in counts:
        total += count
    mean = total.total() / max(1, len(counts))
    typical = []
    for count in counts:
        weights = {
            word: (number / count.total()) ** 0.5 * float(np.log1p(mean / total[word]))
            for word, number in count.items()
        }
        typical.append(sorted(weights, key=lambda word: (-weights[word], word))[:size])
    return typical


def _is_word(token: str) -> bool:
    return token not in SPECIAL_TOKENS and any(map(str.isalnum, token))
