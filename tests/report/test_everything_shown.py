# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""All that a page says and draws, against ``everything_shown.txt``.

After a change that is meant: ``python -m pytest tests/report/test_everything_shown.py`` writes what
is shown now beside it, under the name that the failure gives; read the difference, then keep it.
"""

import dataclasses
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from pyro_textvae.report import grid_table
from pyro_textvae.report.page import render
from pyro_textvae.report.sections.check import check
from pyro_textvae.report.sections.dimensions import dimensions
from pyro_textvae.report.sections.khat import khat
from pyro_textvae.report.sections.length import length
from pyro_textvae.report.sections.nll_by_draws import nll_by_draws
from pyro_textvae.report.sections.proposals import proposals
from pyro_textvae.report.sections.summary import summary
from pyro_textvae.report.sections.training import training
from tests.report.conftest import EVALUATION
from tests.report.test_grid_table import result_of, row_of
from tests.report.test_sections import CHECK, LANGUAGE_MODEL

EXPECTED = Path(__file__).with_name("everything_shown.txt")
SECTIONS = (summary, training, nll_by_draws, khat, check, proposals, dimensions, length)
FULL = EVALUATION | {
    "check": CHECK,
    "warnings": ["the nll may be too high"],
    "proposal_settings": {"quasi_random": True, "factor": 1.15},
}


def rounded(values):
    return " ".join(f"{round(float(value), 6) + 0.0:.4g}" for value in values)


def drawn(figure):
    """The lines of a figure, and all its text but that of the ticks."""
    for legend in figure.legends:
        yield "legend of the figure: " + "; ".join(text.get_text() for text in legend.get_texts())
    for axes in figure.axes:
        title = "".join(map(axes.get_title, ("left", "center", "right")))
        yield f"axes {title!r}, x {axes.get_xlabel()!r}, y {axes.get_ylabel()!r}"
        yield f"  x {axes.get_xscale()} {rounded(axes.get_xlim())}"
        yield f"  y {axes.get_yscale()} {rounded(axes.get_ylim())}"
        if axes.get_legend() is not None:
            legend = axes.get_legend()
            labels = "; ".join(text.get_text() for text in legend.get_texts())
            yield f"  legend {legend.get_title().get_text()!r}: {labels}"
        for text in axes.texts:
            yield f"  text {text.get_text()!r} at {rounded(text.get_position())}"
        for line in axes.lines:
            style = f"{to_hex(line.get_color())} {line.get_linestyle()} {line.get_marker()}"
            yield f"  line {line.get_label()!r} {style}"
            yield f"    {rounded(line.get_xdata())} | {rounded(line.get_ydata())}"
        for patch in axes.patches:
            box = patch.get_window_extent().transformed(axes.transData.inverted())
            yield f"  patch {to_hex(patch.get_facecolor())} {rounded(box.bounds)}"


def said(block, pictures):
    """The fields of a block, a picture's replaced by what is drawn in it."""
    yield f"{type(block).__name__} {block.kind}"
    for field in dataclasses.fields(block):
        if field.name == "png":
            yield from (f"  {line}" for line in pictures.pop(0))
        elif field.name != "rows":
            yield f"  {field.name}: {getattr(block, field.name)!r}"
        else:
            yield from (f"  | {' | '.join(row)}" for row in block.rows)


def everything(record, pictures):
    every = {
        "one run": [record(evaluation=FULL)],
        "two runs": [record(), record(2, "other", evaluation=FULL | {"nll": 22.5})],
        "not evaluated": [record(evaluation=None, epochs=[])],
        "a language model": [record(evaluation=LANGUAGE_MODEL)],
    }
    for title, runs in every.items():
        sections = []
        for make in SECTIONS:
            section = make(runs)
            yield f"== {title}: {make.__name__}"
            if section is not None:
                sections.append(section)
                yield f"{section.title} #{section.anchor}"
                for block in section.blocks:
                    yield from said(block, pictures)
        if len(runs) > 1:
            yield f"== {title}: the page"
            yield render(title, sections)
    unseeded = [result_of()["differences"][0] | {"seed_reach": None, "told_apart": False}]
    few = {"heavy_tail_share": None, "unknown_token_share": 0.0}
    exact = {"name": "iwae_8-seed0", "exact": False, **few}
    for title, result in {
        "a grid": result_of(),
        "no seeds": result_of(differences=unseeded, best=None, num_sentences=9),
        "no differences": result_of(differences=[], best=None, no_differences="one cell"),
        "few draws": result_of(rows=[row_of("iwae_8", runs=[exact])], failures={}),
    }.items():
        yield f"== {title}"
        yield grid_table(result)


@pytest.mark.usefixtures("drawn_pictures")
def test_everything_shown_is_what_was_read(record, monkeypatch, tmp_path):
    pictures = []
    monkeypatch.setattr(
        *(FigureCanvasAgg, "print_png"),
        lambda canvas, stream: pictures.append(list(drawn(canvas.figure))),
    )
    lines = "\n".join(everything(record, pictures)).splitlines()
    found = "\n".join(line.rstrip() for line in lines) + "\n"
    assert not pictures
    new = tmp_path / EXPECTED.name
    new.write_text(found)
    assert found == EXPECTED.read_text(), f"read the difference: diff {EXPECTED} {new}"
