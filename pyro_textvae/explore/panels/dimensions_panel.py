# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sliders along dimensions of the latent, and the sentence that comes out."""

from __future__ import annotations

from typing import Any

from bokeh.layouts import column
from bokeh.models import Button, Slider
from markupsafe import Markup

from pyro_textvae.errors import UserError
from pyro_textvae.explore.collection import Collection
from pyro_textvae.explore.overlay import Overlay
from pyro_textvae.explore.panels.panel import Panel, paragraph, text_block
from pyro_textvae.explore.sentence import Sentence

_REACH = 3.0


class DimensionsPanel(Panel):
    """Each slider moves the sentence's latent along one dimension, from where it is."""

    title = "Dimensions"

    def __init__(self, collection: Collection, overlay: Overlay) -> None:
        self._collection, self._overlay = collection, overlay
        self._sentence: Sentence | None = None
        self.text = text_block("moved")
        site = collection.moving_site
        self.sliders = [
            Slider(
                name=f"slider_{number}",
                title=f"{site}[{dimension}]",
                start=-_REACH,
                end=_REACH,
                step=0.1,
                value=0.0,
                sizing_mode="stretch_width",
                max_width=420,
            )
            for number, dimension in enumerate(collection.moving_dimensions)
        ]
        for slider in self.sliders:
            slider.on_change("value", self._moved)
        self.button = Button(label="Back to the sentence", name="back", width=180)
        self.button.on_click(self._back)
        self._controls = column(*self.sliders, self.button, sizing_mode="stretch_width")
        self.layout = column(self.text, self._controls, sizing_mode="stretch_width")

    def show(self, sentence: Sentence | None, previous: Sentence | None) -> None:
        self._controls.visible = sentence is not None
        if sentence is None:
            self.text.text = str(paragraph("Click a point of the map first.", "soft"))
            return
        if sentence is not self._sentence:
            self._sentence = sentence
            self._back()
        else:
            self._draw()

    def hide(self) -> None:
        self._overlay.mark_way(None)

    def _moved(self, attribute: str, old: Any, new: Any) -> None:
        self._draw()

    def _back(self) -> None:
        for slider in self.sliders:
            slider.remove_on_change("value", self._moved)
            slider.value = 0.0
            slider.on_change("value", self._moved)
        self._draw()

    def _draw(self) -> None:
        sentence = self._sentence
        if sentence is None:
            return
        dimensions = self._collection.moving_dimensions
        values = [float(slider.value) for slider in self.sliders]
        try:
            moved = self._collection.moved(sentence, dict(zip(dimensions, values, strict=True)))
        except UserError as error:
            self._controls.visible = False
            self.text.text = str(paragraph(f"No dimension can be moved: {error}", "warning"))
            return
        self._overlay.mark_way(None if not any(values) else _joined(sentence.vector, moved.vectors))
        total = self._collection.points[self._collection.moving_site].shape[1]
        which = f"the {len(dimensions)} of {total} dimensions" if len(dimensions) < total else "all"
        self.text.text = str(
            Markup(
                '{}<h3>Decoded where the sliders are</h3><p class="decoded" id="moved">{}</p>{}'
            ).format(
                paragraph(sentence.text, "sentence"),
                moved.texts[0],
                paragraph(
                    f"Shown are {which}, those first whose posterior mean varies most over the "
                    "sentences. 0 is where the sentence is.",
                    "soft",
                ),
            )
        )


def _joined(start: Any, end: Any) -> Any:
    import numpy as np

    return np.concatenate([start, end])
