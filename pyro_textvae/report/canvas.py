# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the pictures of a report look, and how they are drawn without a display."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pyro_textvae.report.blocks import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
"""Colours that the colour-blind tell apart (Okabe and Ito, 2008)."""
GREY, DARK, PALE = "#6b6b6b", "#222222", "#b8c4cc"

_SERIES = (
    (BLUE, "-", "o"),
    (ORANGE, "--", "s"),
    (GREEN, "-.", "^"),
    (PURPLE, ":", "D"),
    (DARK, "-", "v"),
    ("#56b4e9", "--", "P"),
    ("#e69f00", "-.", "X"),
)

# Settings that a user's own matplotlibrc must not change.
_STYLE: Any = {
    "text.usetex": False,
    # Names of runs may hold dollar signs, which are no mathematics.
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelcolor": DARK,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e3e6e8",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": DARK,
    "ytick.labelcolor": DARK,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
}


_COLLECTED: ContextVar[list[Figure] | None] = ContextVar("_COLLECTED", default=None)


@contextmanager
def collected_figures() -> Iterator[list[Figure]]:
    """The figures that are drawn meanwhile, besides the pictures that are made of them."""
    figures: list[Figure] = []
    token = _COLLECTED.set(figures)
    try:
        yield figures
    finally:
        _COLLECTED.reset(token)


@contextmanager
def _no_backend_asked_for() -> Iterator[None]:
    """A notebook's MPLBACKEND names one that may not be installed, and none is used here."""
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked


def draw(
    name: str,
    size: tuple[int, int],
    paint: Callable[[Figure], None],
    *,
    alt: str,
    caption: str,
) -> Picture:
    """Let ``paint`` fill a figure of ``size`` CSS pixels, and make a PNG of it.

    The drawing goes through objects alone: no window, no global figure, and the settings of
    matplotlib are as before afterwards.
    """
    with _no_backend_asked_for():
        import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = size
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width / 100, height / 100), dpi=200, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        paint(figure)
        png = as_png(canvas)
    collected = _COLLECTED.get()
    if collected is not None:
        collected.append(figure)
    return Picture(f"{name}.png", png, width, height, alt, caption)


def as_png(canvas: FigureCanvasAgg) -> bytes:
    """The figure of the canvas, drawn."""
    stream = io.BytesIO()
    canvas.print_png(stream)
    return stream.getvalue()


def line_style(number: int) -> dict[str, str]:
    """Colour, line and marker of the run of this number, counted from 1."""
    colour, line, marker = _SERIES[(number - 1) % len(_SERIES)]
    return {"color": colour, "linestyle": line, "marker": marker}


def drawable(text: str) -> str:
    """The text with what the font has no sign for replaced by question marks."""
    from matplotlib.font_manager import findfont, get_font

    charmap = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(letter if ord(letter) in charmap else "?" for letter in text)


def legend_of_runs(figure: Figure, axes: Axes) -> None:
    """One legend above all panels, from the labelled lines of one of them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(3, len(handles)))
