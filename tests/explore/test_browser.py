# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The page in a real Chromium; `make test-browser` has what that needs."""

import threading

import markupsafe
import pytest

from tests.explore.browser import MISSING, chromium
from tests.explore.conftest import HOSTILE, SENTENCES, make_collection

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(MISSING, reason="needs Chromium, and the package playwright"),
]


@pytest.fixture(scope="module")
def address(collection):
    """Where the page is served, by a thread of its own."""
    import asyncio

    from pyro_textvae.explore.server import make_server, serve

    told, servers = threading.Event(), []

    def run():
        asyncio.set_event_loop(asyncio.new_event_loop())
        servers.append(make_server(collection, 0, "pca"))
        serve(servers[0], lambda _: told.set())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert told.wait(60)
    yield f"http://127.0.0.1:{servers[0].port}/"
    servers[0].io_loop.add_callback(servers[0].io_loop.stop)
    thread.join(30)


@pytest.fixture
def window(address):
    with chromium() as window:
        window.open(address)
        yield window
        assert window.problems == []
        assert window.page.evaluate("window.hacked") is None
        elsewhere = [
            url for url in window.asked_for if not url.startswith((address, "data:", "blob:"))
        ]
        assert elsewhere == []


def pixels(window, number):
    """The colours around the point of a sentence on the screen."""
    import io

    from PIL import Image

    x, y = window.place(number)
    clip = {"x": x - 2, "y": y - 2, "width": 5, "height": 5}
    picture = Image.open(io.BytesIO(window.page.screenshot(clip=clip))).convert("RGB")
    return picture.getpixel((2, 2))


def test_points_are_drawn_in_their_colours(window):
    assert len(window.column("x")) == len(SENTENCES) + len(HOSTILE)
    assert pixels(window, 0) != (255, 255, 255)
    before = window.column("colour")
    assert len(set(before)) == 3  # two labels, and one that is not given
    window.page.get_by_label("Colour").select_option("nll")
    after = window.column("colour")
    assert len(set(after)) == len(after)
    window.expect("nll of the run's evaluation, nats a sentence")


def test_hover_reads_and_a_click_decodes_and_lists_neighbours(window, collection):
    window.page.mouse.move(*window.place(7))
    window.expect(SENTENCES[7])
    window.click(7)
    sentence = collection.sentence(7)
    window.expect("Decoded from its latent")
    decoded = window.page.locator("#decoded").inner_text()
    assert decoded.split() == collection.decoded(sentence).split()
    listed = window.page.locator("button.pick[data-place]").all_inner_texts()
    near = [collection.texts[place] for place, _ in collection.neighbours(sentence)]
    assert [text.split("\n")[-1] for text in listed] == near
    # A neighbour that is clicked is looked at next.
    window.page.locator("button.pick[data-place]").first.click()
    window.page.locator("#text").get_by_text(near[0], exact=True).wait_for()


def test_two_clicks_walk(window, collection):
    window.tab("Walk")
    window.expect("Click one point of the map")
    window.click(3)
    window.click(30)
    window.expect("Decoded on the way")
    walk = collection.walk(collection.sentence(3), collection.sentence(30))
    shown = window.page.locator("ol li").all_inner_texts()
    assert [text.split() for text in shown] == [text.split() for text in walk.texts]
    drawn = window.page.evaluate(
        """() => Bokeh.documents[0].get_model_by_name("map").renderers
        .map((each) => each.data_source.data.x.length).filter((length) => length === 7).length"""
    )
    assert drawn == 2  # the line, and its steps


def test_sliders_change_the_sentence(window, collection):
    window.click(4)
    window.expect("Decoded from its latent")
    window.tab("Dimensions")
    window.expect("Decoded where the sliders are")
    handle = window.page.locator(".noUi-handle").first
    handle.press("ArrowRight")
    name = "Bokeh.documents[0].get_model_by_name('slider_0').value"
    window.page.wait_for_function(f"{name} > 0")
    window.page.evaluate(f"() => {{ {name} = 2 }}")
    dimension = collection.moving_dimensions[0]
    moved = collection.moved(collection.sentence(4), {dimension: 2.0}).texts[0]
    window.page.wait_for_function(
        """(text) => Bokeh.documents[0].get_model_by_name("moved").text.includes(text)""",
        arg=str(markupsafe.escape(moved)),
    )


def test_a_sentence_of_ones_own_is_placed_and_scored(window, collection):
    window.type_in("type it, then Enter", "the wolf sat")
    window.expect("1 token is unknown to the model")
    window.expect("k-hat")
    score = collection.score(collection.typed("the wolf sat"))
    window.expect(f"{score.nll:.2f} ± {score.standard_error:.2f} nats")
    window.type_in("type it, then Enter", "the cat " * 20)
    window.expect("the model takes 12 at most")


def test_search_leaves_lit_what_has_the_words(window):
    window.type_in("such as: dog", "dog sat")
    window.expect("3 of 38 sentences")
    lit = [place for place, alpha in enumerate(window.column("alpha")) if alpha > 0.5]
    assert [SENTENCES[place] for place in lit] == [text for text in SENTENCES if "dog sat" in text]
    window.page.locator(f'button.pick[data-place="{lit[1]}"]').click()
    window.page.wait_for_function(
        f"""() => Bokeh.documents[0].get_model_by_name("map").renderers[0]
        .data_source.selected.indices[0] === {lit[1]}"""
    )


def test_clusters_are_listed_and_lit(window, collection):
    window.tab("Clusters")
    window.page.locator('button.pick[data-cluster="1"]').click()
    window.expect("Nearest to the middle of cluster 2")
    window.page.wait_for_timeout(300)
    lit = [alpha > 0.5 for alpha in window.column("alpha")]
    assert lit == (collection.grouping(3).assigned == 1).tolist()


def test_another_map_is_made(window, collection):
    window.page.get_by_label("Map", exact=True).select_option(label="t-SNE")
    window.expect("Only who is near whom means anything here")
    x = collection.plane("tsne").positions[:, 0]
    assert window.column("x") == pytest.approx(x.tolist(), abs=1e-3)


def test_hostile_sentences_are_text(window):
    for number, text in enumerate(HOSTILE):
        place = len(SENTENCES) + number
        window.page.mouse.move(*window.place(place))
        window.expect(text)
        window.click(place)
        window.page.locator("#text").get_by_text(text, exact=True).wait_for()
    assert window.page.locator("h1").inner_text() == "toy <b>bold</b> & co"
    window.expect("<i>good</i>")
    window.type_in("such as: dog", "<")
    window.expect("2 of 38 sentences")
    listed = window.page.locator('button.pick[data-place="36"]').first.inner_text()
    assert listed == HOSTILE[0]
    window.type_in("type it, then Enter", HOSTILE[1])
    window.page.locator("#text").get_by_text(HOSTILE[1], exact=True).wait_for()
    assert window.page.locator("img[src=x], script[src]:not([src*='/static/'])").count() == 0


@pytest.mark.parametrize("width", [1280, 700])
def test_nothing_is_wider_than_the_window(address, width):
    with chromium(width) as window:
        window.open(address)
        wide = window.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width


def test_the_exported_map_needs_nothing_else(collection, tmp_path):
    from pyro_textvae.explore.export import map_html

    path = tmp_path / "map.html"
    path.write_text(map_html(collection, ["pca", "tsne"], "pca"))
    with chromium() as window:
        window.page.context.set_offline(True)
        window.open(path.as_uri())
        assert window.asked_for == [path.as_uri()]
        window.page.mouse.move(*window.place(36))
        window.expect(HOSTILE[0])
        window.type_in("such as: dog", "fox ran")
        window.expect("3 of 38 sentences")
        window.page.get_by_label("Map", exact=True).select_option(label="t-SNE")
        x = collection.plane("tsne").positions[:, 0]
        assert window.column("x") == pytest.approx(x.tolist(), abs=1e-3)
        assert window.problems == []
        assert window.page.evaluate("window.hacked") is None


_MOVE = """async (frames) => {
  const [page] = Bokeh.documents;
  const map = page.get_model_by_name("map");
  const view = Bokeh.index.find_one_by_id(map.id);
  const start = performance.now();
  for (let n = 0; n < frames; n++) {
    const count = view._render_count;
    page.interactive_start(map);  // as the tools do that move the map
    const { start, end } = map.x_range;
    map.x_range.setv({ start: start + 0.01, end: end + 0.01 });
    while (view._render_count === count) await new Promise((done) => requestAnimationFrame(done));
  }
  return (performance.now() - start) / frames;
}"""
_BY_WEBGL = """() => {
  const { id } = Bokeh.documents[0].get_model_by_name("map");
  return Bokeh.index.find_one_by_id(id).canvas_view.webgl != null;
}"""


@pytest.fixture(scope="module")
def ten_thousand(tmp_path_factory):
    """The file of a map of so many points."""
    from pyro_textvae.explore.export import map_html

    texts = [f"{SENTENCES[number % 36]} {number // 36}" for number in range(10_000)]
    path = tmp_path_factory.mktemp("map") / "map.html"
    path.write_text(map_html(make_collection(texts), ["pca"], "pca"))
    return path.as_uri()


def test_ten_thousand_points_are_moved_without_a_graphics_card(ten_thousand):
    with chromium() as window:
        window.open(ten_thousand)
        assert len(window.column("x")) == 10_000
        assert not window.page.evaluate(_BY_WEBGL)
        window.page.evaluate(_MOVE, 2)
        milliseconds = window.page.evaluate(_MOVE, 20)
        print(f"{milliseconds:.0f} ms a frame")
        # Three to ten times that where WebGL is emulated, by how busy the processor is.
        assert milliseconds < 150
        assert window.problems == []


def test_a_graphics_card_draws_the_points(ten_thousand):
    with chromium() as window:
        window.page.add_init_script(
            "WebGLRenderingContext.prototype.getParameter = new Proxy("
            "WebGLRenderingContext.prototype.getParameter, { apply: (asked, context, [name]) => "
            "name === 0x9246 ? 'ANGLE (a card)' : Reflect.apply(asked, context, [name]) });"
        )
        window.open(ten_thousand)
        assert window.page.evaluate(_BY_WEBGL)
