# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The map alone in one file that needs no server and no network."""

from __future__ import annotations

from collections.abc import Sequence

from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.layouts import column
from bokeh.models import CustomJS
from bokeh.resources import INLINE

from pyro_textvae.explore.collection import Collection
from pyro_textvae.explore.map_view import MapView
from pyro_textvae.explore.page import controls
from pyro_textvae.explore.template import ALONE, page_template, template_variables


def map_html(collection: Collection, planes: Sequence[str], first: str) -> str:
    """The page, with hover, colours, maps and search; a hit that is clicked is ringed.

    :param planes: the maps that can be chosen, all made now.
    :param first: the one that is shown first, among them.
    """
    for name in planes:
        collection.plane(name)
    view = MapView(collection, planes, first)
    pick = "const place = picked.data.place[0]; if (place >= 0) source.selected.indices = [place];"
    models = {"picked": view.picked, "source": view.source}
    view.picked.js_on_change("data", CustomJS(args=models, code=pick))
    document = Document()
    document.add_root(
        column(
            controls(view),
            view.figure,
            view.legend,
            view.note,
            view.hits,
            name="map_side",
            sizing_mode="stretch_width",
        )
    )
    return str(
        file_html(
            document,
            INLINE,
            f"map of {collection.title}",
            template=page_template(),
            template_variables=template_variables(collection.title, ["map_side"], ALONE),
        )
    )
