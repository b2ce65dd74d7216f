# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How well vectors keep labels together: against scikit-learn, by hand, and by chance."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.mining import (
    Mining,
    bag_of_words,
    chance_of_same_label,
    trust_of_each,
)


@pytest.fixture
def normal():
    return np.random.default_rng(0).normal(size=(300, 6))


def test_trustworthiness_is_that_of_scikit_learn(normal):
    plane = normal[:, :2]
    each = trust_of_each(normal, plane)
    assert each.shape == (300,)
    assert each.mean() == pytest.approx(trustworthiness(normal, plane, n_neighbors=10), abs=1e-12)
    assert 0.5 < each.mean() < 0.95
    assert trust_of_each(plane, plane).mean() == 1.0


def test_labels_that_points_do_not_tell(normal):
    """As good as chance, a point not among its own neighbours; |z| < 4.5."""
    labels = np.arange(300) % 3
    result = Mining.of(normal, labels)
    chance = chance_of_same_label(labels)
    assert chance == pytest.approx(99 / 299)
    precision = result.neighbour_precision
    error = (precision.high - precision.low) / (2 * 1.96)
    # A share of ten neighbours, of 300 sentences.
    assert error == pytest.approx((chance * (1 - chance) / 3000) ** 0.5, rel=0.4)
    assert abs(precision.value - chance) < 4.5 * error
    for nmi in (result.nmi_kmeans, result.nmi_mixture):
        assert nmi.value < 0.05
        assert nmi.low <= nmi.value + 0.02


def test_labels_that_points_tell(normal):
    """Three clusters, of which the labels of the last third are wrong."""
    clusters = np.arange(300) % 3
    points = normal / 10 + np.eye(6)[clusters] * 5
    right = Mining.of(points, clusters)
    for number in (right.neighbour_precision, right.nmi_kmeans, right.nmi_mixture):
        assert (number.value, number.low, number.high) == pytest.approx((1, 1, 1))
    labels = clusters.copy()
    labels[200:] = np.random.default_rng(1).integers(0, 3, 100)
    some = Mining.of(points, labels)
    # Seven ninths have the label of the cluster, and the rest the others: of two, the same.
    share = 7 / 9
    expected = share**2 + 2 * ((1 - share) / 2) ** 2
    assert some.neighbour_precision.value == pytest.approx(expected, abs=0.06)
    assert 0.2 < some.nmi_kmeans.low < some.nmi_kmeans.value < some.nmi_kmeans.high < 0.7
    assert some.nmi_mixture.value == pytest.approx(some.nmi_kmeans.value)


def test_one_seed_gives_one_answer(normal):
    labels = np.arange(300) % 3
    assert Mining.of(normal, labels) == Mining.of(normal, labels)
    assert list(Mining.of(normal, labels).to_dict())[:3] == [
        *("trustworthiness", "trustworthiness_low", "trustworthiness_high")
    ]


def test_bag_of_words():
    """The order of words does not count, words in common do."""
    rows = bag_of_words([[4, 5, 6], [6, 5, 4], [4, 5, 9], [7, 8, 10], [11, 12, 13], [7, 8, 14]])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0)
    similarity = rows @ rows.T
    assert similarity[0, 1] == pytest.approx(1.0)
    assert similarity[0, 1] > similarity[0, 2] > 0.3 > abs(similarity[0, 3])


def test_what_cannot_be_measured(normal):
    labels = np.arange(300) % 3
    with pytest.raises(UserError, match="needs 22 sentences with a label, got 21"):
        Mining.of(normal[:21], labels[:21])
    with pytest.raises(UserError, match="all sentences have one"):
        Mining.of(normal, labels * 0)
    with pytest.raises(UserError, match="most of them coincide"):
        Mining.of(normal * 0, labels)
