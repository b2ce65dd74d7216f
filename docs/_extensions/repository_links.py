# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Links of a page to files of the repository that are no pages of the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


REPOSITORY = "https://github.com/OWNER/pyro-textvae"
OF_THE_SITE = {".png", ".svg"}
"""Pictures, which the site has copies of."""

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)")


def with_repository_links(text: str, page: Path, pages: Path) -> str:
    """The Markdown of a page, whose links to other files than pages lead to the repository.

    A link to nothing stays as it is, and Sphinx warns of it.

    :param pages: the folder of all pages, itself in the root of the repository.
    """
    root = pages.parent

    def lead(link: re.Match[str]) -> str:
        file = (page.parent / link[1]).resolve()
        is_page = file.suffix == ".md" and pages in file.parents
        if is_page or not file.exists() or root not in file.parents or file.suffix in OF_THE_SITE:
            return link[0]
        kind = "tree" if file.is_dir() else "blob"
        return f"]({REPOSITORY}/{kind}/main/{file.relative_to(root).as_posix()}{link[2] or ''})"

    return LINK.sub(lead, text)


def read_page(app: Sphinx, name: str, content: list[str]) -> None:
    """Change a page as Sphinx reads it."""
    page = Path(app.env.doc2path(name))
    if page.suffix == ".md":
        content[0] = with_repository_links(content[0], page, Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", read_page)
    return {"parallel_read_safe": True}
