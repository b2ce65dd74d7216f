# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The map and what is chosen on it, which works in the browser alone."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    Div,
    HoverTool,
    Select,
    TapTool,
    TextInput,
)
from bokeh.plotting import figure

from pyro_textvae.explore.collection import Collection
from pyro_textvae.explore.colouring import Colouring, by_cluster, colourings
from pyro_textvae.explore.plane import PLANES
from pyro_textvae.explore.style import text_style

ALPHA, FADED = 0.75, 0.05

# Bokeh escapes what stands for @name, unless it is asked not to.
_TOOLTIP = """<div style="max-width: 300px; white-space: normal; overflow-wrap: anywhere;
font: 14px/1.4 system-ui, sans-serif"><div>@text</div><div style="color: #59636e">@about</div></div>
"""


class MapView:
    """The points of a collection with hover, colours, maps and search.

    Colours, maps that are made and the search change in the browser, so an exported page has them
    too.

    :param collection: what is shown.
    :param planes: names of the maps that can be chosen; those that are not made yet have no points.
    :param first: the one that is shown.
    """

    def __init__(self, collection: Collection, planes: Sequence[str], first: str) -> None:
        self.collection = collection
        self.grouping = collection.grouping(collection.num_clusters)
        """The clusters of this window."""
        coloured = colourings(collection, self.grouping)
        self.source = ColumnDataSource(self._columns(coloured, planes, first))
        self.legends = ColumnDataSource(
            {
                "name": list(coloured),
                "html": [str(colouring.legend) for colouring in coloured.values()],
            }
        )
        made = {name: collection.plane(name) for name in planes if collection.has_plane(name)}
        self.notes = ColumnDataSource(
            {
                "name": list(made),
                "html": [f"{plane.title}. {plane.note}" for plane in made.values()],
            }
        )
        # Filled by the script of page.html when something of a list is clicked.
        self.picked = ColumnDataSource({"place": [-1], "cluster": [None]}, name="picked")
        self.ring = ColumnDataSource({"x": [], "y": []})
        self.figure = self._figure()
        colour = "label" if "label" in coloured else "length"
        self.legend = Div(
            text=str(coloured[colour].legend),
            name="legend",
            disable_math=True,
            stylesheets=text_style(),
            sizing_mode="stretch_width",
        )
        self.note = Div(
            text=self.notes.data["html"][list(made).index(first)],
            name="note",
            disable_math=True,
            stylesheets=text_style(),
            sizing_mode="stretch_width",
        )
        self.plane = Select(
            title="Map",
            name="plane",
            value=first,
            options=[(name, PLANES[name]) for name in planes],
            width=110,
        )
        self.colour = Select(
            title="Colour", name="colour", value=colour, options=list(coloured), width=150
        )
        self.query = TextInput(
            title="Search for words", name="query", placeholder="such as: dog", width=200
        )
        self.hits = Div(
            text="",
            name="hits",
            disable_math=True,
            stylesheets=text_style(),
            sizing_mode="stretch_width",
        )
        self._connect()

    @property
    def name_of_plane(self) -> str:
        """The map that is shown."""
        return str(self.plane.value)

    def add_plane(self, name: str) -> None:
        """Show a map that is made by now."""
        plane = self.collection.plane(name)
        x, y = plane.positions.T.tolist()
        self._change(**{f"x_{name}": x, f"y_{name}": y, "x": x, "y": y})
        self.notes.data = {
            "name": [*self.notes.data["name"], name],
            "html": [*self.notes.data["html"], f"{plane.title}. {plane.note}"],
        }
        self.note.text = self.notes.data["html"][-1]

    def regroup(self, number: int) -> None:
        """Tell so many clusters apart."""
        self.grouping = self.collection.grouping(number)
        colouring = by_cluster(self.grouping)
        html = list(self.legends.data["html"])
        html[self.legends.data["name"].index("cluster")] = str(colouring.legend)
        self.legends.data = {**self.legends.data, "html": html}
        changed = {"colour_cluster": colouring.colours, "about": self._about()}
        if self.colour.value == "cluster":
            changed["colour"] = colouring.colours
            self.legend.text = str(colouring.legend)
        self._change(**changed)

    def fade_all_but(self, is_kept: np.ndarray | None) -> None:
        """Fade the points that are not kept; none at all for None."""
        size = len(self.collection)
        alpha = np.full(size, ALPHA) if is_kept is None else np.where(is_kept, ALPHA, FADED)
        self._change(alpha=alpha.tolist())

    def _change(self, **columns: list[Any]) -> None:
        """Put these columns in the place of the old ones; the browser's others stay."""
        self.source.patch({name: [(slice(None), values)] for name, values in columns.items()})

    def _columns(
        self, coloured: dict[str, Colouring], planes: Sequence[str], first: str
    ) -> dict[str, Any]:
        collection = self.collection
        columns: dict[str, Any] = {
            "text": list(collection.texts),
            "about": self._about(),
            "alpha": np.full(len(collection), ALPHA),
        }
        for name in planes:
            made = collection.has_plane(name)
            positions = collection.plane(name).positions if made else None
            for axis, letter in enumerate("xy"):
                column = (
                    np.full(len(collection), np.nan) if positions is None else positions[:, axis]
                )
                columns[f"{letter}_{name}"] = column.astype(np.float32)
        for name, colouring in coloured.items():
            columns[f"colour_{name}"] = colouring.colours
        shown = "label" if "label" in coloured else "length"
        columns["colour"] = columns[f"colour_{shown}"]
        # Copies: what is shown is changed in place, and the maps stay.
        columns["x"], columns["y"] = columns[f"x_{first}"].copy(), columns[f"y_{first}"].copy()
        return columns

    def _about(self) -> list[str]:
        """What is said of a sentence below its text."""
        collection = self.collection
        parts = [
            [f"{length} tokens" for length in collection.lengths],
            [f"cluster {number + 1}" for number in self.grouping.assigned],
        ]
        if collection.labels is not None:
            parts.insert(0, [label or "label not given" for label in collection.labels])
        if collection.likelihoods is not None:
            parts.append([f"nll {nll:.1f}" for nll in collection.likelihoods.nll])
        return [", ".join(of_one) for of_one in zip(*parts, strict=True)]

    def _figure(self) -> Any:
        drawn = figure(
            name="map",
            output_backend="webgl",
            sizing_mode="stretch_width",
            height=560,
            match_aspect=True,
            tools="pan,wheel_zoom,box_zoom,reset,save",
            active_drag="pan",
            active_scroll="wheel_zoom",
            toolbar_location="above",
        )
        drawn.toolbar.logo = None
        drawn.axis.visible = False
        drawn.grid.grid_line_color = "#eef1f3"
        drawn.outline_line_color = "#d9dee3"
        points = drawn.scatter(
            "x", "y", source=self.source, size=7, color="colour", alpha="alpha", line_color=None
        )
        # A point that is chosen is ringed; the others stay as they are.
        points.selection_glyph = points.nonselection_glyph = None
        ring = {"size": 15, "fill_color": None, "line_color": "#d55e00", "line_width": 3}
        drawn.scatter("x", "y", source=self.ring, level="overlay", **ring)
        drawn.add_tools(
            HoverTool(renderers=[points], tooltips=_TOOLTIP, point_policy="snap_to_data", limit=3),
            TapTool(renderers=[points], behavior="inspect", callback=CustomJS(code=_script("tap"))),
        )
        return drawn

    def _connect(self) -> None:
        models = {
            "source": self.source,
            "legends": self.legends,
            "legend": self.legend,
            "notes": self.notes,
            "note": self.note,
            "hits": self.hits,
            "picked": self.picked,
            "map": self.figure,
            "ring": self.ring,
        }
        for widget, script in (
            (self.plane, "plane"),
            (self.colour, "colour"),
            (self.query, "search"),
        ):
            code = _script(script).replace("ALPHA", str(ALPHA)).replace("FADED", str(FADED))
            widget.js_on_change("value", CustomJS(args=models, code=code))
        ring = CustomJS(args={"source": self.source, "ring": self.ring}, code=_script("ring"))
        self.source.selected.js_on_change("indices", ring)
        self.plane.js_on_change("value", ring)
        self.query.js_on_change(
            "value_input",
            CustomJS(args={"query": self.query}, code="query.value = query.value_input;"),
        )


def _script(name: str) -> str:
    """The JavaScript of a file of this folder."""
    return files("pyro_textvae.explore").joinpath(f"{name}.js").read_text(encoding="utf-8")
