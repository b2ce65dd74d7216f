# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is drawn over the points: neighbours, a walk, a sentence that was typed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.models import ColumnDataSource

from pyro_textvae.explore.map_view import MapView


class Overlay:
    """Latents that are marked on the map, wherever the map of the moment has them."""

    def __init__(self, view: MapView) -> None:
        self._view = view
        self._near: list[int] = []
        self._typed = self._way = self._nowhere = np.zeros((0, view.collection.vectors.shape[1]))
        self.near = ColumnDataSource({"x": [], "y": []})
        self.way = ColumnDataSource({"x": [], "y": []})
        self.typed = ColumnDataSource({"x": [], "y": []})
        drawn = view.figure
        drawn.scatter(
            *("x", "y"),
            source=self.near,
            size=11,
            fill_color=None,
            line_color="#222222",
            line_width=1.5,
            level="overlay",
        )
        line = {"source": self.way, "level": "overlay"}
        drawn.line("x", "y", line_color="#222222", line_width=2, **line)
        drawn.scatter("x", "y", size=8, fill_color="white", line_color="#222222", **line)
        drawn.scatter(
            *("x", "y"),
            source=self.typed,
            marker="star",
            size=20,
            fill_color="#d55e00",
            line_color="white",
            level="overlay",
        )

    def mark_neighbours(self, places: Sequence[int]) -> None:
        """Ring these sentences of the collection."""
        self._near = list(places)
        self.draw()

    def mark_typed(self, vector: np.ndarray | None) -> None:
        """Put the star at a latent ``(1, D)``, or take it away."""
        self._typed = self._nowhere if vector is None else vector
        self.draw()

    def mark_way(self, vectors: np.ndarray | None) -> None:
        """Draw a line through latents ``(S, D)``, or take it away."""
        self._way = self._nowhere if vectors is None else vectors
        self.draw()

    def draw(self) -> None:
        """Put all marks where the map of the moment has them."""
        plane = self._view.collection.plane(self._view.name_of_plane)
        for source, positions in (
            (self.near, plane.positions[self._near]),
            (self.way, plane.place(self._way) if len(self._way) else self._way[:, :2]),
            (self.typed, plane.place(self._typed) if len(self._typed) else self._typed[:, :2]),
        ):
            x, y = np.reshape(positions, (-1, 2)).T.tolist()
            source.data = {"x": x, "y": y}
