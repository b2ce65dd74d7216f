# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A bar for work that takes more than a second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from pyro_textvae.progress_bar import progress_bar

Item = TypeVar("Item")


def shown(items: Iterable[Item], title: str) -> Iterator[Item]:
    """The items, with a bar on a terminal's standard error from the first second on."""
    return iter(progress_bar(items, desc=title, delay=1))
