# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How long a text may be, whatever tokenizer and settings are to make of it."""

from __future__ import annotations

from pyro_textvae.data.records import Record
from pyro_textvae.errors import UserError

LONGEST_TEXT = 1_000_000
"""Characters; of a longer text, the tokens alone take gigabytes."""
LONGEST_WORD = 50_000
"""Characters without a space; merges are learned in the square of their number."""


def refuse_long_text(record: Record) -> None:
    """Refuse what no tokenizer can be trained on, or run on, in seconds, whatever is cut of it.

    :raises UserError: with where it stands.
    """
    for text in (*record.texts, record.source or ""):
        what, size, most = "characters", len(text), LONGEST_TEXT
        if LONGEST_WORD < size <= LONGEST_TEXT:
            what, most = "characters without a space", LONGEST_WORD
            size = max(map(len, text.split()), default=0)
        if size > most:
            raise UserError(
                f"{record.place} has {size:,} {what}, over {most:,}, which is no sentence; put one "
                "sentence a line"
            )
