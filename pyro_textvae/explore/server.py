# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The page served to this machine alone."""

from __future__ import annotations

import asyncio
import errno
import socket
import warnings
from collections.abc import Callable

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server

from pyro_textvae.errors import UserError
from pyro_textvae.explore.collection import Collection
from pyro_textvae.explore.page import Page

LOOPBACK = "127.0.0.1"


def check_port(port: int) -> int:
    """Refuse a port that is taken, before any work is done.

    :returns: the port; for 0 one that is free.
    :raises UserError: for one that cannot be listened at.
    """
    with socket.socket() as probe:
        # As the server itself will ask for it: a port that a closed one has left is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise _no_port(port, error) from error
        return int(probe.getsockname()[1])


def make_server(collection: Collection, port: int, first: str) -> Server:
    """A server of the page that listens at a port of the loopback address, and does not run yet.

    :param port: 0 for any that is free.
    :param first: the map that is shown first.
    :raises UserError: for a port that cannot be listened at.
    """

    def fill(document: Document) -> None:
        Page(document, collection, first)

    port = check_port(port)
    # A page of another address, or of a name that leads here, is refused what this one says.
    origins = [f"{host}:{port}" for host in (LOOPBACK, "localhost")]
    application = Application(FunctionHandler(fill))
    _make_event_loop()
    try:
        return Server(
            {"/": application}, address=LOOPBACK, port=port, allow_websocket_origin=origins
        )
    except OSError as error:
        raise _no_port(port, error) from error


def _make_event_loop() -> None:
    """The loop that tornado asks for: Python 3.12 warns where it makes one, 3.14 makes none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())


def serve(server: Server, ready: Callable[[str], None]) -> None:
    """Answer until the process is interrupted.

    :param ready: takes the address when it can be opened.
    """
    server.start()
    ready(f"http://{LOOPBACK}:{server.port}/")
    try:
        server.io_loop.start()
    finally:
        server.stop()


def _no_port(port: int, error: OSError) -> UserError:
    reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
    return UserError(
        f"port {port} of {LOOPBACK} {reason}: give another --port, or 0 for a free one"
    )
