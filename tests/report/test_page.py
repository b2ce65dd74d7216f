# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The page as HTML: escaped, complete in itself, and its pictures of the stated size."""

import struct
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pyro_textvae.report.blocks import Note, RunTitle, Section, Table, Verbatim
from pyro_textvae.report.canvas import draw, drawable
from pyro_textvae.report.decoded_run import DecodedRun
from pyro_textvae.report.page import render
from pyro_textvae.report.sections.latent_space import latent_space
from pyro_textvae.report.sections.text import reconstructions, samples
from pyro_textvae.report.sections.training import training

EVIL = '<script>alert("1")</script> & \'"> 中文 <unk>'


class Reader(HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.text = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def decoded(sentences, **changes):
    generator = torch.Generator().manual_seed(0)
    values = {
        "split": "test",
        "sentences": sentences,
        "lengths": tuple(range(2, 2 + len(sentences))),
        "latents": torch.randn(len(sentences), 3, generator=generator).double(),
        "reconstructions": ("again <b>",) * 2,
        "samples": ("drawn <i>", EVIL),
    }
    return DecodedRun(**values | changes)


def test_every_text_is_escaped():
    blocks = (
        RunTitle(EVIL),
        Note(EVIL, "warning", EVIL),
        Table((EVIL, EVIL), ((EVIL, EVIL),), EVIL),
        Table((EVIL, EVIL), ((EVIL, EVIL),), EVIL, folded=True, prose=True),
        Verbatim(EVIL),
    )
    page = render(EVIL, [Section(EVIL, "anchor", blocks)])
    reader = Reader(page)
    assert "<script>alert" not in page
    assert len(reader.all("script")) == 1
    # Title and heading; section in the list and above it; 1 + 2 + 5 + 5 + 1 in the blocks.
    assert "".join(reader.text).count(EVIL) == 2 + 2 + 14


def test_sentences_on_hover_are_escaped_and_all_there(record):
    texts = tuple(f"{number} {EVIL}" for number in range(7))
    section = latent_space([record()], {1: decoded(texts)}, 0)
    page = render("a title", [section])
    reader = Reader(page)
    assert "<script>alert" not in page
    circles = reader.all("circle")
    assert len(circles) == 2 * len(texts)
    shown = "".join(reader.text)
    for number, text in enumerate(texts):
        assert shown.count(f"{text} ({number + 2} tokens)") == 2
    for circle in circles:
        assert 0 <= float(circle["cx"]) <= 440
        assert 0 <= float(circle["cy"]) <= 440


def test_points_keep_the_proportions_and_point_up(record):
    section = latent_space([record()], {1: decoded(tuple("abcdefg"))}, 0)
    (point_map,) = section.blocks
    latents = decoded(tuple("abcdefg")).latents
    places = np.array(point_map.panels[0].positions)
    centred = (latents - latents.mean(0)).numpy()
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    true = left[:, :2] * values[:2]
    shown = places - places.mean(0)
    # One scale for both axes, up to the sign of each; rounding is to a tenth of a pixel.
    scale = np.ptp(shown[:, 0]) / np.ptp(true[:, 0])
    assert np.allclose(np.abs(shown), np.abs(scale * true), atol=0.2)
    assert point_map.panels[0].title.endswith(f"the frame is {440 / scale:.3g} wide")


def test_longer_sentences_are_lighter(record):
    (point_map,) = latent_space([record()], {1: decoded(tuple("abcdefg"))}, 0).blocks
    light = [sum(bytes.fromhex(colour[1:])) for colour in point_map.colours]
    assert light == sorted(light)
    assert point_map.scale_ends == ("2 tokens", "8")
    assert len(set(point_map.scale_colours)) == len(point_map.scale_colours)
    assert (point_map.scale_colours[0], point_map.scale_colours[-1]) == (
        point_map.colours[0],
        point_map.colours[-1],
    )


@pytest.mark.usefixtures("drawn_pictures")
def test_panels_of_the_latent_space_are_titled(record, monkeypatch):
    titles = []
    monkeypatch.setattr(
        *(FigureCanvasAgg, "print_png"),
        lambda canvas, stream: titles.extend(a.get_title("left") for a in canvas.figure.axes[:2]),
    )
    (point_map,) = latent_space([record()], {1: decoded(tuple("abcdefg"))}, 0).blocks
    shown = [panel.title.partition("; the frame")[0] for panel in point_map.panels]
    assert titles == shown
    assert len(set(titles)) == 2


def test_collapsed_posterior_has_nothing_to_project(record):
    flat = decoded(tuple("abcdefg"), latents=torch.ones(7, 3).double())
    (note,) = latent_space([record()], {1: flat}, 0).blocks
    assert "all coincide" in note.text


def test_what_cannot_be_decoded_says_why(record):
    texts = {1: DecodedRun("test", problem="no weights"), 2: decoded(("a", "b"), latents=None)}
    runs = [record(1, "one"), record(2, "two")]
    space = latent_space(runs, texts, 0)
    assert [b.text for b in space.blocks if isinstance(b, Note)] == [
        "no weights",
        "two has no latent, so there is nothing to project.",
    ]
    note, table = samples(runs, texts).blocks
    assert note.text == "no weights"
    assert table.headings == ("", "2: two")


def test_runs_on_the_same_sentences_share_a_table(record):
    sentences = ("first", "second", "third")
    texts = {
        1: decoded(sentences),
        2: decoded(sentences, reconstructions=("x", "y")),
        3: decoded(("other", "words"), reconstructions=("z",)),
    }
    runs = [record(number, name) for number, name in enumerate("abc", 1)]
    shared, own = reconstructions(runs, texts).blocks
    assert shared.headings == ("source", "1: a", "2: b")
    assert shared.rows == (("first", "again <b>", "x"), ("second", "again <b>", "y"))
    assert (own.headings, own.rows) == (("source", "3: c"), (("other", "z"),))


def test_sources_stand_beside_what_was_made_of_them(record):
    sentences, sources = ("first", "second", "third"), ("said", EVIL)
    texts = {
        1: decoded(sentences, sources=sources),
        2: decoded(sentences, sources=sources, samples=("x", "y")),
        3: decoded(sentences),
    }
    runs = [record(number, name) for number, name in enumerate("abc", 1)]
    given, alone = reconstructions(runs, texts).blocks
    assert given.headings == ("source", "sentence", "1: a", "2: b")
    assert given.rows[0] == ("said", "first", "again <b>", "again <b>")
    assert alone.rows == (("first", "again <b>"), ("second", "again <b>"))
    given, alone = samples(runs, texts).blocks
    assert (given.headings, alone.headings) == (("source", "1: a", "2: b"), ("", "3: c"))
    assert given.rows == (("said", "drawn <i>", "x"), (EVIL, EVIL, "y"))
    assert alone.rows == (("1", "drawn <i>"), ("2", EVIL))
    assert "given the source" in given.caption
    assert "given the source" not in alone.caption


@pytest.mark.usefixtures("drawn_pictures")
def test_picture_has_twice_the_stated_size_and_needs_no_file(record):
    section = training([record()])
    (picture,) = section.blocks
    assert picture.png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture.png[16:24]) == (2 * picture.width, 2 * picture.height)
    (image,) = Reader(render("a title", [section])).all("img")
    assert (image["width"], image["height"]) == (str(picture.width), str(picture.height))
    assert image["src"].startswith("data:image/png;base64,iVBOR")
    assert image["alt"] == picture.alt


@pytest.mark.usefixtures("drawn_pictures")
def test_names_of_runs_are_no_mathematics_and_no_missing_signs(record):
    """Both are warnings of matplotlib, and so errors here; a wrong formula would raise."""
    runs = [record(1, "_$\\frac$ 中文"), record(2, "$a_{")]
    (picture,) = training(runs).blocks
    assert len(picture.png) > 10_000
    assert drawable("a中$") == "a?$"


@pytest.mark.usefixtures("drawn_pictures")
def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    picture = draw("empty", (200, 100), lambda figure: None, alt="", caption="")
    assert (picture.name, picture.width) == ("empty.png", 200)
    assert dict(matplotlib.rcParams) == before
