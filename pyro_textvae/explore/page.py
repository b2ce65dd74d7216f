# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The page: the map on one side, and what the model makes of a sentence on the other."""

from __future__ import annotations

from typing import Any

from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import CustomJS, Row, TabPanel, Tabs, TextInput

from pyro_textvae.errors import UserError
from pyro_textvae.explore.background import in_background
from pyro_textvae.explore.collection import Collection
from pyro_textvae.explore.map_view import MapView
from pyro_textvae.explore.overlay import Overlay
from pyro_textvae.explore.panels.clusters_panel import ClustersPanel
from pyro_textvae.explore.panels.dimensions_panel import DimensionsPanel
from pyro_textvae.explore.panels.panel import Panel, paragraph, text_block
from pyro_textvae.explore.panels.search_panel import SearchPanel
from pyro_textvae.explore.panels.sentence_panel import SentencePanel
from pyro_textvae.explore.panels.walk_panel import WalkPanel
from pyro_textvae.explore.plane import installed_planes
from pyro_textvae.explore.sentence import Sentence
from pyro_textvae.explore.template import SERVED, page_template, template_variables


class Page:
    """One document of one browser window.

    :param document: that is filled.
    :param first: the map that is shown first.
    """

    def __init__(self, document: Document, collection: Collection, first: str) -> None:
        collection.plane(first)
        self._document, self._collection = document, collection
        self._sentence: Sentence | None = None
        self._previous: Sentence | None = None
        self._is_from_list = False
        self.view = MapView(collection, installed_planes(), first)
        self.overlay = Overlay(self.view)
        self.clusters = ClustersPanel(self.view)
        self.panels: list[Panel] = [
            SentencePanel(document, self.view, self.overlay),
            WalkPanel(collection, self.overlay),
            DimensionsPanel(collection, self.overlay),
            self.clusters,
            SearchPanel(self.view),
        ]
        self.tabs = Tabs(
            name="tabs",
            tabs=[TabPanel(title=panel.title, child=panel.layout) for panel in self.panels],
            sizing_mode="stretch_width",
        )
        self.typed = TextInput(
            title="A sentence of your own",
            name="typed",
            placeholder="type it, then Enter",
            sizing_mode="stretch_width",
        )
        self.message = text_block("message")
        self._connect()
        map_side = column(
            controls(self.view),
            self.view.figure,
            self.view.legend,
            self.view.note,
            name="map_side",
            sizing_mode="stretch_width",
        )
        text_side = column(
            self.typed, self.message, self.tabs, name="text_side", sizing_mode="stretch_width"
        )
        document.add_root(map_side)
        document.add_root(text_side)
        document.title = f"explore {collection.title}"
        document.template = page_template()
        document.template_variables.update(
            template_variables(collection.title, ["map_side", "text_side"], SERVED)
        )
        self.panels[0].show(None, None)

    def choose(self, place: int) -> None:
        """Look at a sentence of the collection that is clicked in a list, which stays open."""
        self._is_from_list = True
        self.view.source.selected.indices = [place]
        self._is_from_list = False

    def look_at(self, sentence: Sentence) -> None:
        """Show a sentence; the one of before becomes the beginning of a walk."""
        self._previous, self._sentence = self._sentence, sentence
        self.message.text = ""
        self.overlay.mark_typed(sentence.vector if sentence.index is None else None)
        # Neighbours are drawn whatever tab is open.
        self.panels[0].show(sentence, self._previous)
        if self.tabs.active:
            self.panels[self.tabs.active].show(sentence, self._previous)

    def _connect(self) -> None:
        self.view.source.selected.on_change("indices", self._clicked)
        self.view.picked.on_change("data", self._pick)
        self.view.plane.on_change("value", self._change_plane)
        self.typed.on_change("value", self._type)
        self.tabs.on_change("active", self._open_tab)
        search = next(n for n, panel in enumerate(self.panels) if isinstance(panel, SearchPanel))
        self.view.query.js_on_change(
            "value", CustomJS(args={"tabs": self.tabs}, code=f"tabs.active = {search};")
        )

    def _clicked(self, attribute: str, old: list[int], new: list[int]) -> None:
        if not new:
            return
        if not self._is_from_list:
            self._open_tab_of_sentence()
        self.look_at(self._collection.sentence(new[0]))

    def _pick(self, attribute: str, old: Any, new: Any) -> None:
        """Take what is clicked in a list."""
        place, cluster = new["place"][0], new["cluster"][0]
        if 0 <= place < len(self._collection):
            self.choose(int(place))
        elif cluster is not None and -1 <= cluster < len(self.view.grouping.clusters):
            self.clusters.open_cluster(int(cluster))

    def _type(self, attribute: str, old: str, new: str) -> None:
        try:
            sentence = self._collection.typed(new)
        except UserError as error:
            self.message.text = str(paragraph(str(error), "warning"))
            return
        self.view.source.selected.indices = []
        self._open_tab_of_sentence()
        self.look_at(sentence)

    def _open_tab_of_sentence(self) -> None:
        """Leave a tab that says nothing of a sentence."""
        if not self.panels[self.tabs.active].is_of_sentence:
            self.tabs.active = 0

    def _open_tab(self, attribute: str, old: int, new: int) -> None:
        self.panels[old].hide()
        self.panels[new].show(self._sentence, self._previous)

    def _change_plane(self, attribute: str, old: str, new: str) -> None:
        if self._collection.has_plane(new) and new in self.view.notes.data["name"]:
            self.overlay.draw()
            return

        def show(plane: Any) -> None:
            self.view.add_plane(new)
            self.overlay.draw()

        def say(message: str) -> None:
            self.message.text = str(paragraph(message, "warning"))

        in_background(self._document, lambda: self._collection.plane(new), show, say)


def controls(view: MapView) -> Row:
    """What is chosen above the map; it goes over to further lines where there is little room."""
    return row(
        *(view.plane, view.colour, view.query),
        spacing=12,
        sizing_mode="stretch_width",
        styles={"flex-wrap": "wrap"},
    )
