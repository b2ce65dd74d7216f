# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Plain text under the name that WikiText has."""

from __future__ import annotations

from pyro_textvae.data.formats.txt import PlainText


class TokenisedText(PlainText):
    """One line of words a line, as ``wiki.train.tokens``; headings are lines like others.

    ``pyro-textvae prepare --layout wikitext`` makes sentences of it.
    """
