# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The page without a browser: what its parts say, and that text in them is text."""

import threading

import numpy as np
import pytest

from tests.explore.conftest import HOSTILE, SENTENCES

bokeh = pytest.importorskip("bokeh")
escape = pytest.importorskip("markupsafe").escape

from bokeh.document import Document  # noqa: E402
from bokeh.models import Div  # noqa: E402

from pyro_textvae.errors import UserError  # noqa: E402
from pyro_textvae.explore.background import in_background  # noqa: E402
from pyro_textvae.explore.colouring import by_name, by_number  # noqa: E402
from pyro_textvae.explore.export import map_html  # noqa: E402
from pyro_textvae.explore.page import Page  # noqa: E402
from pyro_textvae.explore.sentence import Score  # noqa: E402
from pyro_textvae.explore.server import make_server  # noqa: E402


@pytest.fixture
def page(collection, monkeypatch):
    # A sentence that is typed is scored by a thread, which takes a second.
    monkeypatch.setattr(type(collection), "score", lambda *_: Score(21.0, 0.1, 0.8, False))
    return Page(Document(), collection, "pca")


def texts_of(page):
    return {div.name: div.text for div in page._document.select({"type": Div})}


def panel(page, title):
    (number,) = [n for n, each in enumerate(page.panels) if each.title == title]
    page.tabs.active = number
    return page.panels[number]


def test_the_sentence_before_is_where_a_walk_begins(page, collection):
    walk = panel(page, "Walk")
    page.choose(3)
    assert "Click one point" in walk.text.text
    assert len(page.overlay.way.data["x"]) == 0
    page.choose(30)
    assert walk.text.text.index(SENTENCES[3]) < walk.text.text.index(SENTENCES[30])
    x, y = collection.plane("pca").positions[[3, 30]].T
    assert page.overlay.way.data["x"][0] == pytest.approx(x[0], abs=1e-5)
    assert page.overlay.way.data["y"][-1] == pytest.approx(y[1], abs=1e-5)
    panel(page, "Sentence")
    assert len(page.overlay.way.data["x"]) == 0


def test_neighbours_are_listed_and_ringed(page, collection):
    page.choose(5)
    near = [place for place, _ in collection.neighbours(collection.sentence(5))]
    assert np.allclose(page.overlay.near.data["x"], collection.plane("pca").positions[near, 0])
    assert f'data-place="{near[0]}"' in texts_of(page)["neighbours"]
    assert "<dd>bad</dd>" in texts_of(page)["sentence"]


def test_sliders_begin_anew_at_every_sentence(page, collection):
    page.choose(2)
    dimensions = panel(page, "Dimensions")
    dimensions.sliders[0].value = 2.0
    number = collection.moving_dimensions[0]
    moved = collection.moved(collection.sentence(2), {number: 2.0})
    assert escape(moved.texts[0]) in texts_of(page)["moved"]
    page.choose(8)
    assert [slider.value for slider in dimensions.sliders] == [0.0] * 3
    assert SENTENCES[8] in texts_of(page)["moved"]


def test_clusters_are_those_of_the_window(page, collection):
    clusters = panel(page, "Clusters")
    page.view.picked.data = {"place": [-1], "cluster": [1]}
    lit = np.array(page.view.source.data["alpha"]) > 0.5
    assert (lit == (collection.grouping(3).assigned == 1)).all()
    clusters.number.value = 2
    assert (np.array(page.view.source.data["alpha"]) > 0.5).all()
    assert texts_of(page)["clusters"].count("data-cluster") == 2
    assert len(set(page.view.source.data["colour_cluster"])) == 2
    other = Page(Document(), collection, "pca")
    assert len(other.view.grouping.clusters) == 3
    page.view.picked.data = {"place": [99], "cluster": [None]}
    page.view.picked.data = {"place": [-1], "cluster": [7]}


def test_what_cannot_be_typed_is_said(page):
    page.typed.value = "the cat " * 20
    assert "the model takes 12 at most" in page.message.text
    assert "Click a point" in texts_of(page)["sentence"]


@pytest.mark.parametrize("place", [36, 37])
def test_text_is_text_in_every_part(page, place):
    assert page._collection.texts[place] == HOSTILE[place - 36]
    for title in ("Sentence", "Walk", "Dimensions", "Clusters"):
        panel(page, title)
        page.choose(0)
        page.choose(place)
    page.view.picked.data = {
        "place": [-1],
        "cluster": [int(page.view.grouping.assigned[place])],
    }
    page.typed.value = HOSTILE[place - 36]
    for name, text in (texts_of(page) | {"legend": page.view.legend.text}).items():
        for tag in ("<script", "<img", "<i>good", "<b>"):
            assert tag not in text, name
    assert "&lt;" in texts_of(page)["sentence"]


def test_the_file_has_its_text_escaped(collection):
    html = map_html(collection, ["pca"], "pca")
    assert "window.hacked" in html
    for tag in ("<script>window.hacked", "<img src=x", "<b>bold", "<i>good"):
        assert tag not in html
    assert "toy &lt;b&gt;bold&lt;/b&gt; &amp; co" in html


def test_numbers_are_dark_to_light_and_what_is_not_known_is_grey():
    values = np.array([1.0, 2.0, np.nan, 3.0])
    colours = by_number(values, "nats").colours
    brightness = [sum(int(colour[n : n + 2], 16) for n in (1, 3, 5)) for colour in colours]
    assert brightness[0] < brightness[1] < brightness[3]
    assert colours[2] == "#b4b4b4"
    assert len(set(by_number(np.full(3, np.nan), "nats").colours)) == 1


def test_names_past_the_colours_share_one():
    names = [f"label {number % 25}" for number in range(60)] + [None]
    colouring = by_name(names)
    assert len(set(colouring.colours)) == 20
    assert colouring.colours[-1] == colouring.colours[24]
    assert "others" in colouring.legend


def test_it_listens_at_the_loopback_address_alone(collection):
    server = make_server(collection, 0, "pca")
    try:
        assert server.address == "127.0.0.1"
        assert server._tornado.websocket_origins == {
            f"127.0.0.1:{server.port}",
            f"localhost:{server.port}",
        }
        with pytest.raises(UserError, match=f"port {server.port} of 127.0.0.1 is in use"):
            make_server(collection, server.port, "pca")
    finally:
        server.stop()


def test_work_in_the_background_ends_in_one_of_two_ways():
    class Later:
        def add_next_tick_callback(self, callback):
            callback()
            done.set()

    said = []
    for work in (lambda: 3, lambda: (_ for _ in ()).throw(UserError("too long"))):
        done = threading.Event()
        in_background(Later(), work, said.append, lambda message: said.append(message))
        assert done.wait(10)
    assert said == [3, "too long"]
