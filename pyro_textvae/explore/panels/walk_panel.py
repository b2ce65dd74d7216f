# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A walk from one sentence to another, to be read."""

from __future__ import annotations

from bokeh.layouts import column
from markupsafe import Markup

from pyro_textvae.errors import UserError
from pyro_textvae.explore.collection import Collection
from pyro_textvae.explore.overlay import Overlay
from pyro_textvae.explore.panels.panel import Panel, paragraph, text_block
from pyro_textvae.explore.sentence import Sentence


class WalkPanel(Panel):
    """The line from the sentence that was looked at before to the one of now."""

    title = "Walk"

    def __init__(self, collection: Collection, overlay: Overlay) -> None:
        self._collection, self._overlay = collection, overlay
        self.text = text_block("walk")
        self.layout = column(self.text, sizing_mode="stretch_width")

    def show(self, sentence: Sentence | None, previous: Sentence | None) -> None:
        if sentence is None or previous is None:
            self._overlay.mark_way(None)
            lead = "Click one point of the map and then another: here stands what the model writes "
            self.text.text = str(paragraph(f"{lead}on the line between their latents.", "soft"))
            return
        try:
            walk = self._collection.walk(previous, sentence)
        except UserError as error:
            self._overlay.mark_way(None)
            self.text.text = str(paragraph(f"There is no walk: {error}", "warning"))
            return
        self._overlay.mark_way(walk.vectors)
        steps = Markup("").join(Markup("<li>{}</li>").format(text) for text in walk.texts)
        self.text.text = str(
            Markup(
                "<h3>From</h3>{}<h3>Decoded on the way, both ends too</h3><ol>{}</ol><h3>To</h3>{}"
                "{}"
            ).format(
                paragraph(previous.text, "sentence"),
                steps,
                paragraph(sentence.text, "sentence"),
                paragraph("Click a further point to walk on from here.", "soft"),
            )
        )

    def hide(self) -> None:
        self._overlay.mark_way(None)
