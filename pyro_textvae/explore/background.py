# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Work that takes longer than a click may."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bokeh.document import Document

from pyro_textvae.errors import UserError

Result = TypeVar("Result")

_WORKER = ThreadPoolExecutor(1, "explore")


def in_background(
    document: Document,
    work: Callable[[], Result],
    then: Callable[[Result], None],
    otherwise: Callable[[str], None],
) -> None:
    """Do some work beside the page, one piece after the other.

    :param then: takes what came out, where the page may be changed.
    :param otherwise: takes what a user can do about it where it failed.
    """

    def run() -> None:
        try:
            result = work()
        except UserError as error:
            message = str(error)
            document.add_next_tick_callback(lambda: otherwise(message))
        else:
            document.add_next_tick_callback(lambda: then(result))

    _WORKER.submit(run)
