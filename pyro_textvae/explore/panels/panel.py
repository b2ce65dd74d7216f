# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every tab beside the map is, and the pieces that they are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from bokeh.models import Div
from markupsafe import Markup

from pyro_textvae.explore.sentence import Sentence
from pyro_textvae.explore.style import text_style


class Panel(ABC):
    """A tab. ``layout`` is what it shows."""

    title: ClassVar[str]
    is_of_sentence: ClassVar[bool] = True
    """Whether it shows something of the sentence that is looked at."""
    layout: Any

    @abstractmethod
    def show(self, sentence: Sentence | None, previous: Sentence | None) -> None:
        """Show what concerns the sentence that is looked at.

        Called when it becomes another while the tab is open, and when the tab is opened.

        :param previous: the one that was looked at before.
        """

    def hide(self) -> None:
        """Take from the map what is drawn for this tab; called when another is opened."""
        return


def text_block(name: str) -> Div:
    """A place for HTML, in which every text must be escaped."""
    return Div(
        text="",
        name=name,
        disable_math=True,
        stylesheets=text_style(),
        sizing_mode="stretch_width",
    )


def list_of_sentences(rows: Iterable[tuple[int, str, str]]) -> Markup:
    """Sentences of the collection, each of which can be clicked: see ``page.html``.

    :param rows: place, text, and what is said before it.
    """
    row = Markup(
        '<li><button class="pick" data-place="{}">{}<span class="said">{}</span></button></li>'
    )
    lead = Markup('<small class="lead">{}</small> ')
    return Markup('<ul class="picks">{}</ul>').format(
        Markup("").join(
            row.format(place, lead.format(before) if before else "", text)
            for place, text, before in rows
        )
    )


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph with this text, escaped unless it is ``Markup``."""
    return Markup('<p class="{}">{}</p>').format(kind, text)
