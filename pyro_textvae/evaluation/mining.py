# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How well vectors of sentences keep together what has one label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pyro_textvae.distributions.fitted_gaussians import fitted_gaussians
from pyro_textvae.errors import UserError

NUM_NEIGHBOURS = 10
NUM_RESAMPLES = 300
_WORDS_OF_MAP = 50
_RESTARTS = 3


@dataclass(frozen=True)
class WithInterval:
    """A number, and the ends of its 95 % interval over other sentences of the same kind."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Mining:
    r"""Numbers of one representation of N sentences with labels.

    trustworthiness
        Of the map, the first two principal components, with k = 10: whether those that are near
        each other on it are near each other in the space; 1 at best,

        .. math::
            1 - \frac{2}{N k (2 N - 3 k - 1)} \sum_n \sum_{m \in U_n} (r(n, m) - k)

        for the rank r(n, m) in the space of each m that is among the k nearest on the map alone.
    neighbour_precision
        The share of the ten nearest others of a sentence that have its label.
    nmi_kmeans, nmi_mixture
        Normalised mutual information of labels and as many clusters, by k-means and by a mixture of
        Gaussians; 0 where they are independent, 1 where they are the same.

    Source: Venna and Kaski (2001), Neighborhood Preservation in Nonlinear Projection Methods,
    https://doi.org/10.1007/3-540-44668-0_68; Strehl and Ghosh (2002), Cluster Ensembles, section
    3.2, https://www.jmlr.org/papers/v3/strehl02a.html, with the arithmetic mean.
    """

    trustworthiness: WithInterval
    neighbour_precision: WithInterval
    nmi_kmeans: WithInterval
    nmi_mixture: WithInterval

    @staticmethod
    def of(points: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> Mining:
        """The numbers of points ``(N, D)`` with labels ``(N,)``, by Euclidean distances.

        >>> labels = np.arange(60) % 3
        >>> points = np.eye(3)[labels] * 9 + np.random.default_rng(0).normal(size=(60, 3))
        >>> Mining.of(points, labels).neighbour_precision.value
        1.0

        :raises UserError: for fewer than 22 sentences, one label alone, points that coincide, and
            where scikit-learn is missing.
        """
        _check(points, labels)
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA
        from sklearn.neighbors import NearestNeighbors

        near = NearestNeighbors(n_neighbors=NUM_NEIGHBOURS).fit(points)
        # Without an argument no point is a neighbour of itself.
        neighbours = near.kneighbors(return_distance=False)
        count = len(np.unique(labels))
        kmeans = KMeans(count, n_init=_RESTARTS, random_state=seed % 2**32).fit(points)
        mixture = fitted_gaussians(
            torch.from_numpy(points), count, "diag", restarts=_RESTARTS, seed=seed
        )
        each = torch.from_numpy(points).double().unsqueeze(1)
        by_mixture = (mixture.components.log_prob(each) + mixture.log_weights).argmax(1).numpy()
        plane = PCA(2, svd_solver="full").fit_transform(points)
        return Mining(
            trustworthiness=_mean(trust_of_each(points, plane), seed),
            neighbour_precision=_mean((labels[neighbours] == labels[:, None]).mean(1), seed),
            nmi_kmeans=_nmi(labels, kmeans.labels_, seed),
            nmi_mixture=_nmi(labels, by_mixture, seed),
        )

    def to_dict(self) -> dict[str, float]:
        """The numbers as plain values, each with the ends of its interval."""
        values: dict[str, float] = {}
        for name, number in vars(self).items():
            values |= {name: number.value, f"{name}_low": number.low, f"{name}_high": number.high}
        return values


def bag_of_words(sentences: Sequence[Sequence[int]], *, seed: int = 0) -> np.ndarray:
    """Sentences by the words that they have, ``(N, D)``: tf-idf in 50 dimensions, of length 1.

    The distance of two rows is then that of the angle between them.

    >>> bag_of_words([[4, 5], [5, 4, 4], [7, 8]]).shape
    (3, 3)

    Source: Deerwester et al. (1990), Indexing by Latent Semantic Analysis.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    counted = TfidfVectorizer(analyzer=list, sublinear_tf=True).fit_transform(sentences)
    size = min(_WORDS_OF_MAP, counted.shape[1] - 1, counted.shape[0])
    found = TruncatedSVD(max(1, size), random_state=seed % 2**32).fit_transform(counted)
    return np.asarray(normalize(found))


def chance_of_same_label(labels: np.ndarray) -> float:
    """The share of all other sentences that have the label of a sentence, in the mean."""
    _, counts = np.unique(labels, return_counts=True)
    return float((counts * (counts - 1)).sum() / (len(labels) * (len(labels) - 1)))


def trust_of_each(points: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """The trustworthiness of the surroundings of each point, whose mean is that of the map."""
    from sklearn.metrics import pairwise_distances
    from sklearn.neighbors import NearestNeighbors

    size, k = len(points), NUM_NEIGHBOURS
    distances = pairwise_distances(points)
    np.fill_diagonal(distances, np.inf)
    order = distances.argsort(1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, size + 1)[None, :], 1)
    on_map = NearestNeighbors(n_neighbors=k).fit(plane).kneighbors(return_distance=False)
    beyond = np.take_along_axis(ranks, on_map, 1) - k
    return 1 - 2 / (k * (2 * size - 3 * k - 1)) * beyond.clip(min=0).sum(1)


def _check(points: np.ndarray, labels: np.ndarray) -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UserError(
            "mining needs scikit-learn, which is not installed: pip install 'pyro-textvae[viz]'"
        ) from error
    fewest = 2 * NUM_NEIGHBOURS + 2
    if len(points) < fewest:
        raise UserError(f"mining needs {fewest} sentences with a label, got {len(points)}")
    if len(np.unique(labels)) < 2:
        raise UserError("mining needs two labels at least, and all sentences have one")
    if len(np.unique(points, axis=0)) < fewest:
        raise UserError("mining needs sentences that are told apart: most of them coincide")


def _mean(values: np.ndarray, seed: int) -> WithInterval:
    return _with_interval(len(values), lambda rows: float(values[rows].mean()), seed)


def _nmi(labels: np.ndarray, clusters: np.ndarray, seed: int) -> WithInterval:
    from sklearn.metrics import normalized_mutual_info_score

    return _with_interval(
        len(labels),
        lambda rows: float(normalized_mutual_info_score(labels[rows], clusters[rows])),
        seed,
    )


def _with_interval(size: int, number: Callable[[Any], float], seed: int) -> WithInterval:
    generator = np.random.default_rng([seed])
    resampled = [number(generator.integers(0, size, size)) for _ in range(NUM_RESAMPLES)]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return WithInterval(number(slice(None)), float(low), float(high))
