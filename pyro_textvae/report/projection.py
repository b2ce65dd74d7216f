# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Points of many dimensions on a plane, by PCA and by t-SNE."""

from __future__ import annotations

from dataclasses import dataclass

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
    if len(values) < FEWEST or not np.isfinite(values).all():
        return None
    if values.std(0).max() < 1e-9:
        return None
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if values.shape[1] < 2:
        values = np.concatenate([values, np.zeros_like(values)], 1)
    pca = PCA(2, svd_solver="full")
    plane = pca.fit_transform(values)
    first, second = 100 * pca.explained_variance_ratio_
    # A perplexity is a number of neighbours, and there must be more points than that.
    perplexity = min(30.0, (len(values) - 1) / 3)
    neighbours = TSNE(perplexity=perplexity, init="pca", random_state=seed % 2**32)
    return (
        Projection(
            f"PCA, {first + second:.1f} % of the variance",
            plane,
            (f"first component, {first:.1f} %", f"second component, {second:.1f} %"),
        ),
        Projection(f"t-SNE, perplexity {perplexity:.0f}", neighbours.fit_transform(values), None),
    )
