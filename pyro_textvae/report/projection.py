# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Points of many dimensions on a plane, by PCA and by t-SNE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

FEWEST = 5
"""With fewer points there is no neighbourhood to keep."""


@dataclass(frozen=True)
class Projection:
    """Positions ``(N, 2)``, and what the axes are; no names for axes that mean nothing."""

    title: str
    positions: np.ndarray
    axes: tuple[str, str] | None


def projections(points: Tensor, seed: int) -> tuple[Projection, Projection] | None:
    """The points ``(N, D)`` by their first two principal components, and by t-SNE.

    None where there is nothing to see: fewer than five points, values that are not finite, or
    points that all coincide, as at a collapsed posterior.

    Source: van der Maaten and Hinton (2008), Visualizing data using t-SNE.
    """
    values = points.double().numpy()
    if not has_something_to_see(values):
        return None
    return principal_plane(values)[0], t_sne(values, seed)


def has_something_to_see(values: np.ndarray) -> bool:
    """Whether points ``(N, D)`` are five at least, finite, and not all the same."""
    if len(values) < FEWEST or not np.isfinite(values).all():
        return False
    return bool(values.std(0).max() >= 1e-9)


def principal_plane(values: np.ndarray) -> tuple[Projection, Any]:
    """The points ``(N, D)`` by their first two principal components.

    :returns: the projection, and scikit-learn's PCA, which places further points on it; both take
        two dimensions at least, see :func:`at_least_two_dimensions`.
    """
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full")
    plane = pca.fit_transform(at_least_two_dimensions(values))
    first, second = 100 * pca.explained_variance_ratio_
    return (
        Projection(
            f"PCA, {first + second:.1f} % of the variance",
            plane,
            (f"first component, {first:.1f} %", f"second component, {second:.1f} %"),
        ),
        pca,
    )


def t_sne(values: np.ndarray, seed: int) -> Projection:
    """The points ``(N, D)`` by t-SNE, from their principal components on."""
    from sklearn.manifold import TSNE

    # A perplexity is a number of neighbours, and there must be more points than that.
    perplexity = min(30.0, (len(values) - 1) / 3)
    neighbours = TSNE(perplexity=perplexity, init="pca", random_state=seed % 2**32)
    positions = neighbours.fit_transform(at_least_two_dimensions(values))
    return Projection(f"t-SNE, perplexity {perplexity:.0f}", positions, None)


def at_least_two_dimensions(values: np.ndarray) -> np.ndarray:
    """Points of one dimension with a second that is zero; others as they are."""
    if values.shape[1] >= 2:
        return values
    return np.concatenate([values, np.zeros_like(values)], 1)
