# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The latent space on a plane, with the sentences on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_textvae.report.blocks import Block, Note, Picture, PointMap, PointPanel, Section
from pyro_textvae.report.canvas import draw
from pyro_textvae.report.decoded_run import DecodedRun
from pyro_textvae.report.per_run import for_each_run, picture_name
from pyro_textvae.report.projection import FEWEST, Projection, projections
from pyro_textvae.report.run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_PANEL = 440
_MARGIN = 12
_SCALE_STEPS = 24


def latent_space(
    runs: Sequence[RunRecord], decoded: Mapping[int, DecodedRun], seed: int
) -> Section:
    """Posterior means by PCA and t-SNE, coloured by length; a sentence shows on hover."""

    def blocks_of(run: RunRecord) -> list[Block]:
        text = decoded[run.number]
        if text.latents is None:
            why = text.problem or f"{run.name} has no latent, so there is nothing to project."
            return [Note(why, "missing")]
        planes = projections(text.latents, seed)
        if planes is None:
            why = (
                f"The posterior means of {run.name} all coincide, or there are fewer than "
                f"{FEWEST}: there is nothing to project."
            )
            return [Note(why, "missing")]
        return [_point_map(text, planes, _picture(run, text, planes, runs))]

    return Section("Latent space", "latent-space", for_each_run(runs, blocks_of))


def _colours() -> Colormap:
    """Dark to light with the length; the lightest would be lost on white."""
    import matplotlib

    viridis = matplotlib.colormaps["viridis"]
    from matplotlib.colors import ListedColormap

    return ListedColormap(viridis(np.linspace(0.0, 0.92, 256)))


def _point_map(text: DecodedRun, planes: Sequence[Projection], picture: Picture) -> PointMap:
    from matplotlib.colors import Normalize, to_hex

    colours = _colours()
    scale = Normalize(min(text.lengths), max(text.lengths))
    return PointMap(
        size=_PANEL,
        panels=tuple(_panel(plane) for plane in planes),
        colours=tuple(to_hex(colours(scale(length))) for length in text.lengths),
        texts=tuple(
            f"{sentence} ({length} tokens)"
            for sentence, length in zip(text.sentences, text.lengths, strict=True)
        ),
        scale_colours=tuple(
            to_hex(colours(step / (_SCALE_STEPS - 1))) for step in range(_SCALE_STEPS)
        ),
        scale_ends=(f"{min(text.lengths)} tokens", f"{max(text.lengths)}"),
        picture=picture,
        caption=(
            f"{picture.alt}. The sentence pointed at is ringed in both panels. In t-SNE only who "
            "is near whom means anything, not how far."
        ),
    )


def _panel(plane: Projection) -> PointPanel:
    """The points in pixels, one scale for both axes; how wide the frame is where that says much."""
    low, high = plane.positions.min(0), plane.positions.max(0)
    scale = (_PANEL - 2 * _MARGIN) / (high - low).max()
    centred = (plane.positions - (low + high) / 2) * scale * np.array([1.0, -1.0])
    places = (centred + _PANEL / 2).round(1).tolist()
    width = f"; the frame is {_PANEL / scale:.3g} wide" if plane.axes is not None else ""
    return PointPanel(plane.title + width, tuple((x, y) for x, y in places))


def _picture(
    run: RunRecord, text: DecodedRun, planes: Sequence[Projection], runs: Sequence[RunRecord]
) -> Picture:
    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, 2)
        for axes, plane in zip(panels, planes, strict=True):
            points = axes.scatter(
                *plane.positions.T, c=text.lengths, cmap=_colours(), s=9, linewidths=0
            )
            axes.set_title(plane.title)
            axes.set_aspect("equal", adjustable="datalim")
            axes.grid(visible=False)
            if plane.axes is None:
                axes.set_xticks([])
                axes.set_yticks([])
            else:
                axes.set_xlabel(plane.axes[0])
                axes.set_ylabel(plane.axes[1])
        figure.colorbar(points, ax=list(panels), label="tokens, <eos> counted", shrink=0.8)

    alt = (
        f"Posterior means of {len(text.sentences):,} sentences of the {text.split} split, coloured "
        "by their length"
    )
    return draw(picture_name("latent-space", run, runs), (940, 440), paint, alt=alt, caption="")
