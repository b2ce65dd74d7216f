# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sections as one HTML page that needs no other file and no network."""

from __future__ import annotations

from collections.abc import Sequence

from pyro_textvae.report.blocks import Section


def render(title: str, sections: Sequence[Section]) -> str:
    """The page; every text in it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pyro_textvae.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html").render(title=title, sections=sections)
