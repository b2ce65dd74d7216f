# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentences that have the words that are searched for."""

from __future__ import annotations

from bokeh.layouts import column

from pyro_textvae.explore.map_view import MapView
from pyro_textvae.explore.panels.panel import Panel, paragraph, text_block
from pyro_textvae.explore.sentence import Sentence


class SearchPanel(Panel):
    """A list of them; the map itself finds them, in the browser."""

    title = "Search"
    is_of_sentence = False

    def __init__(self, view: MapView) -> None:
        self.text = text_block("search_lead")
        self.text.text = str(
            paragraph("Type words into the field above the map; what has them stays lit.", "soft")
        )
        self.layout = column(self.text, view.hits, sizing_mode="stretch_width")

    def show(self, sentence: Sentence | None, previous: Sentence | None) -> None:
        return
