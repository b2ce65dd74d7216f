# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where sentences come from, one source a file, found by its name (``--data nltk:brown``)."""

from pyro_textvae.data.sources.grammar import GrammarSentences
from pyro_textvae.data.sources.hf import HuggingFaceDataset
from pyro_textvae.data.sources.nltk import NLTKCorpus
from pyro_textvae.data.sources.poems import PoemFiles
from pyro_textvae.data.sources.stdlib import StdlibDocstrings
from pyro_textvae.data.sources.text_files import TextFiles
from pyro_textvae.data.sources.world import WorldTexts

__all__ = [
    "GrammarSentences",
    "HuggingFaceDataset",
    "NLTKCorpus",
    "PoemFiles",
    "StdlibDocstrings",
    "TextFiles",
    "WorldTexts",
]
