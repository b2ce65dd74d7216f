# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the points of a map are coloured by, and the legend that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.palettes import Category20, Colorblind, Viridis256
from markupsafe import Markup, escape

from pyro_textvae.explore.clusters import Grouping
from pyro_textvae.explore.collection import Collection

_NOTHING = "#b4b4b4"
"""Of a point that there is no number or name for."""
# The lightest would be lost on white.
_SCALE = Viridis256[:236]


@dataclass(frozen=True)
class Colouring:
    """A colour for every sentence.

    colours
        Hexadecimal, ``(N,)``.
    legend
        HTML, in which every text is escaped.
    """

    colours: list[str]
    legend: Markup


def colourings(collection: Collection, grouping: Grouping) -> dict[str, Colouring]:
    """Every way in which a collection can be coloured, by the name that the page shows."""
    shown = {"length": by_number(collection.lengths, "tokens, <eos> counted")}
    if collection.labels is not None:
        shown["label"] = by_name(collection.labels)
    shown["cluster"] = by_cluster(grouping)
    if collection.likelihoods is not None:
        nll, origin = collection.likelihoods.nll, collection.likelihoods.origin
        shown["nll"] = by_number(nll, f"{origin}, nats a sentence")
        per_token = nll / collection.lengths
        shown["nll per token"] = by_number(per_token, f"{origin}, nats a token")
    return shown


def by_number(values: np.ndarray, title: str) -> Colouring:
    """Dark to light; the ends are the 1st and 99th percentile, beyond which little happens."""
    numbers = np.asarray(values, dtype=float)
    finite = numbers[np.isfinite(numbers)]
    low, high = np.percentile(finite, [1, 99], method="nearest") if len(finite) else (0.0, 0.0)
    shares = (numbers - low) / max(high - low, 1e-12)
    places = np.nan_to_num(np.clip(shares, 0, 1), nan=0.0) * (len(_SCALE) - 1)
    colours = [
        _SCALE[int(place)] if known else _NOTHING
        for place, known in zip(places, np.isfinite(numbers), strict=True)
    ]
    gradient = ", ".join(_SCALE[:: len(_SCALE) // 8])
    legend = Markup(
        '<span>{}</span> <span class="scale" style="background: linear-gradient(90deg, {})"></span>'
        " <span>{} and more: {}</span>"
    ).format(f"{low:.3g}", Markup(gradient), f"{high:.3g}", title)
    return Colouring(colours, legend)


def by_name(names: Sequence[str | None]) -> Colouring:
    """A colour for every name, the most frequent first; those past nineteen share one."""
    counts = Counter(name for name in names if name is not None)
    ordered = [name for name, _ in counts.most_common()]
    # Of the first palette's eight the colour-blind tell apart all; its grey is for the rest.
    palette = Colorblind[7] if len(ordered) <= 7 else Category20[20][:19]
    colour_of = dict(zip(ordered, palette, strict=False))
    swatches = [(colour_of[name], name, counts[name]) for name in ordered[: len(palette)]]
    rest = len(names) - sum(count for _, _, count in swatches)
    if rest:
        swatches.append((_NOTHING, "others" if len(ordered) > len(palette) else "not given", rest))
    return Colouring(
        [colour_of.get(name, _NOTHING) if name is not None else _NOTHING for name in names],
        _swatches(swatches),
    )


def by_cluster(grouping: Grouping) -> Colouring:
    """A colour for every cluster, with its most typical words beside it."""
    colours = cluster_colours(len(grouping.clusters))
    swatches = [
        (colour, f"{number} {' '.join(cluster.words[:3])}", cluster.size)
        for number, (colour, cluster) in enumerate(
            zip(colours, grouping.clusters, strict=True), start=1
        )
    ]
    return Colouring([colours[number] for number in grouping.assigned], _swatches(swatches))


def cluster_colours(number: int) -> list[str]:
    """So many colours, which repeat after twenty."""
    palette = Colorblind[7] if number <= 7 else Category20[20]
    return [palette[cluster % len(palette)] for cluster in range(number)]


def _swatches(rows: Sequence[tuple[str, str, int]]) -> Markup:
    one = Markup(
        '<span class="swatch"><i style="background: {}"></i>{}&nbsp;<small>{}</small></span>'
    )
    return Markup(" ").join(
        one.format(colour, escape(name), f"{count:,}") for colour, name, count in rows
    )
