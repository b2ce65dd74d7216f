# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents beside other data of a corpus: all or none, and of how many sentences."""

from __future__ import annotations

from pyro_textvae.data.records import Record
from pyro_textvae.errors import UserError

LONGEST_DOCUMENT = 1000
"""Sentences; a batch of longer ones does not fit where the others do."""


def refuse_long_document(record: Record, max_sentences: int | None) -> None:
    """Refuse a document that is longer than was asked for or than is usual, where none was.

    :param max_sentences: what longer documents are dropped or cut by.
    :raises UserError: with where it stands.
    """
    if max_sentences is None and len(record.texts) > LONGEST_DOCUMENT:
        raise UserError(
            f"{record.place} has {len(record.texts):,} sentences, over {LONGEST_DOCUMENT:,}; leave "
            "it out, or set max_sentences in training to drop such documents, and truncate=True to "
            "cut them instead"
        )


def refuse_a_mix(record: Record, has_documents: bool) -> None:
    """Refuse a document among sentences, or a sentence among documents.

    :param has_documents: whether the first record of the source was a document.
    :raises UserError: with where it stands.
    """
    if (record.sentences is not None) != has_documents:
        kinds = ("one sentence", "a list of sentences")
        raise UserError(
            f"{record.place} holds {kinds[not has_documents]}, and the first text "
            f"{kinds[has_documents]}; give every row a list, or none"
        )
