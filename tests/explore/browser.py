# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A real Chromium that looks at the page, and where things are on it."""

import importlib.util
import shutil
from contextlib import contextmanager

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
MISSING = not (CHROMIUM and importlib.util.find_spec("playwright"))

# Without a graphics card WebGL is emulated by the processor, and a canvas is not.
_ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
_PLACE = """(place) => {
  const map = Bokeh.documents[0].get_model_by_name("map");
  const view = Bokeh.index.find_one_by_id(map.id);
  const { left, top } = view.el.getBoundingClientRect();
  const { x, y } = map.renderers[0].data_source.data;
  return [left + view.frame.x_scale.compute(x[place]), top + view.frame.y_scale.compute(y[place])];
}"""
_COLUMN = """(name) =>
  Array.from(Bokeh.documents[0].get_model_by_name("map").renderers[0].data_source.data[name])"""


class Window:
    """A page that is opened, and what went wrong on it.

    asked_for
        Every address that it asked for something.
    problems
        Errors of scripts, and what the content security policy refused.
    """

    def __init__(self, page):
        self.page, self.asked_for, self.problems = page, [], []
        # Other tests may need all cores.
        page.set_default_timeout(180_000)
        page.on("request", lambda request: self.asked_for.append(request.url))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message):
        if message.type == "error":
            self.problems.append(message.text)

    def open(self, url):
        self.page.goto(url)
        ready = "window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle"
        self.page.wait_for_function(ready, timeout=180_000)

    def place(self, number):
        """Where the point of a sentence is, in pixels."""
        return self.page.evaluate(_PLACE, number)

    def column(self, name):
        """What the points have of this, such as alpha."""
        return self.page.evaluate(_COLUMN, name)

    def click(self, number):
        self.page.mouse.click(*self.place(number))
        # Two clicks in a row would be one double click.
        self.page.wait_for_timeout(500)

    def tab(self, title):
        self.page.get_by_text(title, exact=True).click()

    def expect(self, text):
        """Wait until this is to be read on the page."""
        self.page.get_by_text(text).first.wait_for()

    def type_in(self, placeholder, text):
        field = self.page.get_by_placeholder(placeholder)
        field.fill(text)
        field.press("Enter")


@contextmanager
def chromium(width=1280, height=900):
    """A window of this size."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=_ARGUMENTS, timeout=180_000
        )
        try:
            yield Window(browser.new_page(viewport={"width": width, "height": height}))
        finally:
            browser.close()
