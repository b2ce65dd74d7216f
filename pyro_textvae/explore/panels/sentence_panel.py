# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentence that is looked at: decoded again, scored, and its neighbours."""

from __future__ import annotations

from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import Button
from markupsafe import Markup

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.importance.result import HEAVY_TAIL
from pyro_textvae.explore.background import in_background
from pyro_textvae.explore.map_view import MapView
from pyro_textvae.explore.overlay import Overlay
from pyro_textvae.explore.panels.panel import Panel, list_of_sentences, paragraph, text_block
from pyro_textvae.explore.sentence import Score, Sentence


class SentencePanel(Panel):
    """What the model makes of it."""

    title = "Sentence"

    def __init__(self, document: Document, view: MapView, overlay: Overlay) -> None:
        self._document, self._view, self._overlay = document, view, overlay
        self._collection = view.collection
        self._sentence: Sentence | None = None
        self.text = text_block("sentence")
        self.score_text = text_block("score")
        self.button = Button(label="Estimate its nll and k-hat", name="score_button", width=220)
        self.button.on_click(self._score)
        self.neighbours = text_block("neighbours")
        self.layout = column(
            self.text,
            self.button,
            self.score_text,
            self.neighbours,
            sizing_mode="stretch_width",
        )
        self._set_visible(False)

    def show(self, sentence: Sentence | None, previous: Sentence | None) -> None:
        if sentence is self._sentence and sentence is not None:
            return
        self._sentence = sentence
        self._set_visible(sentence is not None)
        if sentence is None:
            self.text.text = str(
                paragraph("Click a point of the map, or type a sentence of your own above.", "soft")
            )
            return
        collection = self._collection
        near = collection.neighbours(sentence)
        self.neighbours.text = str(
            Markup("<h3>Nearest sentences, by posterior mean</h3>{}").format(
                list_of_sentences(
                    (place, collection.texts[place], f"{distance:.3f}") for place, distance in near
                )
            )
        )
        self._overlay.mark_neighbours([place for place, _ in near])
        self.text.text = str(self._about(sentence))
        self.score_text.text = ""
        if sentence.index is None:
            self._score()

    def _about(self, sentence: Sentence) -> Markup:
        collection, index = self._collection, sentence.index
        facts = [("tokens", f"{sentence.num_tokens}, <eos> counted")]
        if index is not None:
            if collection.labels is not None:
                facts.append(("label", collection.labels[index] or "not given"))
            number = int(self._view.grouping.assigned[index])
            words = ", ".join(self._view.grouping.clusters[number].words)
            facts.append(("cluster", f"{number + 1}: {words}"))
            if collection.likelihoods is not None:
                nll = collection.likelihoods.nll[index]
                facts.append((collection.likelihoods.origin, f"{nll:.2f} nats"))
        try:
            decoded = collection.decoded(sentence)
        except UserError as error:
            decoded = f"It cannot be decoded: {error}"
        about = Markup("").join(
            Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts
        )
        return Markup(
            '<p class="sentence" id="text">{}</p>{}<dl>{}</dl><h3>Decoded from its latent</h3>'
            '<p class="decoded" id="decoded">{}</p>'
        ).format(sentence.text, self._unknown(sentence), about, decoded)

    def _unknown(self, sentence: Sentence) -> Markup:
        count = sentence.num_unknown
        if not count or sentence.index is not None:
            return Markup("")
        what = "1 token is" if count == 1 else f"{count} tokens are"
        return paragraph(
            f"{what} unknown to the model and stand as <unk>: its nll is of that text.", "warning"
        )

    def _score(self) -> None:
        sentence = self._sentence
        if sentence is None:
            return
        self.button.disabled = True
        self.score_text.text = str(paragraph("Estimating the nll by 300 draws ...", "soft"))

        def show(text: Markup) -> None:
            self.button.disabled = False
            if sentence is self._sentence:
                self.score_text.text = str(text)

        in_background(
            self._document,
            lambda: self._collection.score(sentence),
            lambda score: show(describe(score, sentence.num_tokens)),
            lambda message: show(paragraph(f"No likelihood: {message}", "warning")),
        )

    def _set_visible(self, visible: bool) -> None:
        for each in (self.button, self.score_text, self.neighbours):
            each.visible = visible


def describe(score: Score, num_tokens: int) -> Markup:
    """An estimate in HTML, with what speaks against it."""
    facts = [
        ("nll", f"{score.nll:.2f} ± {score.standard_error:.2f} nats (Monte Carlo)"),
        ("per token", f"{score.nll / num_tokens:.2f} nats"),
        ("k-hat", f"{score.khat:.2f}"),
    ]
    rows = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts
    )
    text = Markup("<dl>{}</dl>").format(rows)
    if score.khat > HEAVY_TAIL:
        text += paragraph(
            f"k-hat is above {HEAVY_TAIL}: the weights have a heavy tail, and the error is not "
            "known from them.",
            "warning",
        )
    elif not score.settled:
        text += paragraph("Its draws are too few for the number to be settled.", "warning")
    return text
