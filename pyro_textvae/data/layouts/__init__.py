# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How documents lie in files, one layout a file, found by its name (``--layout wikitext``)."""

from pyro_textvae.data.layouts.plain import PlainDocuments
from pyro_textvae.data.layouts.ptb import PennTreebank
from pyro_textvae.data.layouts.wikitext import WikiText

__all__ = ["PennTreebank", "PlainDocuments", "WikiText"]
