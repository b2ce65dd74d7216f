# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Groups of sentences that are near each other in the latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyro_textvae.explore.typical_words import typical_words

_SHOWN = 8


@dataclass(frozen=True)
class Cluster:
    """One of them.

    size
        Number of its sentences.
    words
        What is typical of it, see :func:`~pyro_textvae.explore.typical_words.typical_words`.
    central
        Its sentences that are nearest to its middle, the nearest first, by their places.
    """

    size: int
    words: tuple[str, ...]
    central: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Sentences told apart.

    assigned
        The number of each sentence's cluster, from 0, ``(N,)``.
    clusters
        The largest first.
    """

    assigned: np.ndarray
    clusters: tuple[Cluster, ...]


def find_clusters(
    vectors: np.ndarray, sentences: Sequence[Sequence[str]], number: int, seed: int
) -> Grouping:
    """Clusters by k-means, the largest first.

    Source: Arthur and Vassilvitskii (2007), k-means++, https://dl.acm.org/doi/10.5555/1283383.1283494.

    :param vectors: latents of the sentences, ``(N, D)``.
    :param sentences: the words of each.
    :param number: of clusters; fewer where there are fewer different vectors.
    """
    from sklearn.cluster import KMeans

    number = min(number, len(np.unique(vectors, axis=0)))
    kmeans = KMeans(number, n_init=4, random_state=seed % 2**32).fit(vectors)
    order = np.argsort(-np.bincount(kmeans.labels_, minlength=number), kind="stable")
    assigned = np.argsort(order)[kmeans.labels_]
    words = typical_words(sentences, assigned)
    distances = np.linalg.norm(vectors - kmeans.cluster_centers_[kmeans.labels_], axis=1)
    clusters = []
    for cluster in range(number):
        members = np.flatnonzero(assigned == cluster)
        central = members[np.argsort(distances[members], kind="stable")][:_SHOWN]
        clusters.append(Cluster(len(members), tuple(words[cluster]), tuple(central.tolist())))
    return Grouping(assigned, tuple(clusters))
