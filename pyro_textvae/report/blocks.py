# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a report's page is made of; plain text throughout, which the page escapes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias


@dataclass(frozen=True)
class RunTitle:
    """Whose blocks follow, where the page is about several runs."""

    text: str
    kind: ClassVar[str] = "title"


@dataclass(frozen=True)
class Note:
    """A sentence; one of tone ``missing`` says why something is not there, and what fills it."""

    text: str
    tone: Literal["plain", "missing", "warning"] = "plain"
    command: str = ""
    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class Picture:
    """A PNG of twice ``width`` by twice ``height`` pixels, for screens of a high density."""

    name: str
    png: bytes
    width: int
    height: int
    alt: str
    caption: str
    kind: ClassVar[str] = "picture"

    @property
    def data_url(self) -> str:
        """The picture as a link that needs no file."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Table:
    """Rows under headings; the first column names the row.

    :param folded: shown only when asked for.
    :param prose: the cells are sentences and not numbers.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    folded: bool = False
    prose: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Verbatim:
    """Lines whose columns stand under each other, as a command prints them."""

    text: str
    kind: ClassVar[str] = "verbatim"


@dataclass(frozen=True)
class PointPanel:
    """One projection of the points; positions in pixels from the panel's upper left corner."""

    title: str
    positions: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class PointMap:
    """Panels of the same points, in the same order; each has a colour and a text shown on hover.

    :param picture: the same without the texts, as a file beside the page.
    """

    size: int
    panels: tuple[PointPanel, ...]
    colours: tuple[str, ...]
    texts: tuple[str, ...]
    scale_colours: tuple[str, ...]
    scale_ends: tuple[str, str]
    picture: Picture
    caption: str
    kind: ClassVar[str] = "points"


Block: TypeAlias = RunTitle | Note | Picture | Table | Verbatim | PointMap


@dataclass(frozen=True)
class Section:
    """A heading, the name of its anchor, and what stands under it."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]
