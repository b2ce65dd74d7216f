# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from pyro_textvae.report.projection import projections


@pytest.fixture
def points():
    """Two clusters, ten units apart along the third axis of five."""
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(24, 5, generator=generator)
    points[:12, 2] += 10.0
    return points


def test_principal_components_are_those_of_the_singular_values(points):
    pca, _ = projections(points, 0)
    centred = (points - points.mean(0)).double().numpy()
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * values[:2]
    # A component is known up to its sign alone.
    for found, true in zip(pca.positions.T, expected.T, strict=True):
        assert np.allclose(found, true, atol=1e-5) or np.allclose(found, -true, atol=1e-5)
    shares = 100 * values**2 / (values**2).sum()
    assert pca.axes[0] == f"first component, {shares[0]:.1f} %"
    assert pca.title == f"PCA, {shares[0] + shares[1]:.1f} % of the variance"


def test_neighbours_stay_together(points):
    _, tsne = projections(points, 0)
    places = tsne.positions
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(1)
    assert ((nearest < 12) == (np.arange(24) < 12)).all()
    assert tsne.axes is None


def test_same_seed_gives_the_same_picture(points):
    first, second = projections(points, 3), projections(points, 3)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.positions, other.positions)


def test_one_dimension_lies_on_a_line(points):
    pca, tsne = projections(points[:, 2:3], 0)
    assert np.abs(pca.positions[:, 1]).max() < 1e-9
    assert tsne.positions.shape == (24, 2)


@pytest.mark.parametrize(
    "points",
    [torch.ones(9, 3), torch.randn(4, 3), torch.full((9, 3), torch.nan), torch.zeros(9, 1)],
    ids=["coincide", "too few", "not finite", "one dimension, collapsed"],
)
def test_nothing_to_see(points):
    assert projections(points, 0) is None
