# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The HTML around what Bokeh draws."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from bokeh.core.templates import get_env
from jinja2 import Template

_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
)
# Bokeh makes functions of the text of a callback, so eval has to be allowed.
SERVED = f"{_POLICY}connect-src 'self'"
"""The content security policy of a page that talks to its own server."""
ALONE = f"{_POLICY}connect-src 'none'"
"""The one of a page that stands alone."""


def page_template() -> Template:
    """The page; every text in it is escaped, and it asks nothing of any other address."""
    source = files("pyro_textvae.explore").joinpath("page.html").read_text(encoding="utf-8")
    template: Template = get_env().from_string(source)
    return template


def template_variables(heading: str, names: Sequence[str], policy: str) -> dict[str, Any]:
    """What the template wants to be told.

    :param names: of the roots of the document.
    """
    return {"heading": heading, "names": list(names), "policy": policy}
