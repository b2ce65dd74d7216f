# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Work that takes longer than a click may."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from bokeh.document import Document

from pyro_textvae.errors import UserError

Result = TypeVar("Result")


def in_background(
    document: Document,
    work: Callable[[], Result],
    then: Callable[[Result], None],
    otherwise: Callable[[str], None],
) -> None:
    """Do some work beside the page.

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

    # Nobody waits for it when the server is closed.
    Thread(target=run, daemon=True).start()
