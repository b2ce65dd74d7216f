# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Maps: the latents of a collection on a plane, and where further latents fall on it."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pyro_textvae.errors import UserError
from pyro_textvae.report.projection import at_least_two_dimensions, principal_plane, t_sne

PLANES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
"""The maps and what they are called."""

NEAREST = 5
"""Sentences whose mean is the place of a latent that a map was not made of."""


@dataclass(frozen=True, eq=False)
class Plane:
    """The sentences on a map.

    title
        What it is, in a line.
    positions
        Of every sentence, ``(N, 2)``.
    place
        Where latents ``(M, D)`` fall, ``(M, 2)``.

    Note:
        What a reader has to know of it.

    """

    title: str
    positions: np.ndarray
    place: Callable[[np.ndarray], np.ndarray]
    note: str


def make_plane(name: str, vectors: np.ndarray, seed: int) -> Plane:
    """The map of this name.

    :param vectors: latents of the sentences, ``(N, D)``.
    :raises UserError: for umap where it is not installed.
    """
    if name == "pca":
        projection, pca = principal_plane(vectors)

        def place(latents: np.ndarray) -> np.ndarray:
            placed: np.ndarray = pca.transform(at_least_two_dimensions(latents))
            return placed

        return Plane(
            projection.title, projection.positions, place, "Straight ways are straight lines."
        )
    if name == "tsne":
        projection = t_sne(vectors, seed)
        title, positions = projection.title, projection.positions
    else:
        title, positions = _umap(vectors, seed)
    note = (
        "Only who is near whom means anything here, not how far. What is not a sentence of the "
        f"collection stands at the mean of its {NEAREST} nearest sentences."
    )
    return Plane(title, positions, _among_nearest(vectors, positions), note)


def installed_planes() -> list[str]:
    """The names of the maps that can be made here."""
    return [name for name in PLANES if name != "umap" or importlib.util.find_spec("umap")]


def _umap(vectors: np.ndarray, seed: int) -> tuple[str, np.ndarray]:
    """The map by UMAP. Source: McInnes et al. (2018), https://arxiv.org/abs/1802.03426."""
    if "umap" not in installed_planes():
        raise UserError("the map umap needs umap-learn, not installed here: pip install umap-learn")
    neighbours = min(15, len(vectors) - 1)
    with warnings.catch_warnings():
        # That TensorFlow, which it can do without, is not there.
        warnings.simplefilter("ignore")
        umap = importlib.import_module("umap")
        # Of several jobs it would warn that a seed allows one.
        mapped = umap.UMAP(n_neighbors=neighbours, random_state=seed % 2**32, n_jobs=1)
        positions = mapped.fit_transform(at_least_two_dimensions(vectors))
    return f"UMAP, {neighbours} neighbours", positions


def _among_nearest(
    vectors: np.ndarray, positions: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Where further latents fall on a map that has no formula."""

    def place(latents: np.ndarray) -> np.ndarray:
        distances = np.linalg.norm(latents[:, None] - vectors[None], axis=-1)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :NEAREST]
        near = np.take_along_axis(distances, nearest, axis=1)
        weights = 1.0 / np.maximum(near, 1e-9)
        weights /= weights.sum(1, keepdims=True)
        placed: np.ndarray = (weights[..., None] * positions[nearest]).sum(1)
        return placed

    return place
