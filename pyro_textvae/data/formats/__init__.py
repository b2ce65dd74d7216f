# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Formats of files of text, one a file, found by their ending (``train.parquet``)."""

from pyro_textvae.data.formats.arrow import Arrow
from pyro_textvae.data.formats.csv import CommaSeparated
from pyro_textvae.data.formats.jsonl import JSONLines
from pyro_textvae.data.formats.parquet import Parquet
from pyro_textvae.data.formats.tokens import TokenisedText
from pyro_textvae.data.formats.tsv import TabSeparated
from pyro_textvae.data.formats.txt import PlainText

__all__ = [
    "Arrow",
    "CommaSeparated",
    "JSONLines",
    "Parquet",
    "PlainText",
    "TabSeparated",
    "TokenisedText",
]
