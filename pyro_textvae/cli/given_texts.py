# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts of the user's own: from arguments, a file or standard input, with source and labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from pyro_textvae.cli.labels import read_labels, repeated_labels
from pyro_textvae.cli.sentences import (
    encode_text,
    fields_beside_text,
    read_sources,
    read_texts,
    repeated_sources,
    writes_documents,
)
from pyro_textvae.contract import LABELS, TOKENS
from pyro_textvae.data import Tokenizer, pad
from pyro_textvae.data.known_words import known_ids
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import EOS

# As decode_row writes them in one line, and as files and worlds do.
_BETWEEN_SENTENCES = re.compile(r"\n| \| ")


class OptionsBesideTexts(Protocol):
    """What a command that starts from texts is told of them.

    run
        The run whose model takes them.
    source, label
        Of all of them.
    labels_from
        A file with the label of each, a line for a text.
    """

    run: str
    source: str | None
    label: str | None
    labels_from: str | None


def given_texts(
    command: str, texts: Sequence[str], text_file: str | None, kind: str = "sentence"
) -> list[str]:
    """The texts of the arguments, or the lines of a file that hold anything.

    :param kind: what a text is, for the message.
    :raises UserError: for both, for neither, and for a file that cannot be read or has no line.
    """
    if texts and text_file is not None:
        raise UserError(
            f"{command}: the arguments and text_file both give a {kind}: leave one of them out"
        )
    if text_file is not None:
        return read_texts(text_file, kind)
    if not texts:
        raise UserError(
            f"{command} needs a {kind}: pyro-textvae {command} RUN TEXT, or --text-file FILE, - "
            "for standard input"
        )
    return list(texts)


def known_row(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a sentence that end in ``<eos>``, all of whose words the model knows.

    :raises UserError: for a word that it does not know, with the nearest, and for no word.
    """
    ids = known_ids(tokenizer, text)
    if not ids:
        raise UserError(f"the sentence {text!r} is empty: give at least one word")
    return [*ids, EOS]


def fields_beside(
    model: nn.Module,
    guide: nn.Module,
    tokenizer: Tokenizer,
    options: OptionsBesideTexts,
    *,
    size: int,
) -> dict[str, Tensor]:
    """What each of ``size`` texts is conditioned on, a row of each field; none of text alone.

    :raises UserError: for a source or a label that the model does not take, for none where it needs
        one, and for another number of labels than of texts.
    """
    run, labels_from = options.run, options.labels_from
    fields: dict[str, Tensor] = {}
    if sources := read_sources(model, run, options.source, None):
        one = repeated_sources(tokenizer, sources, 1)
        fields |= {name: value.expand(size, -1) for name, value in one.items()}
    if labels := read_labels(model, run, options.label, labels_from):
        if labels_from is not None and len(labels) != size:
            raise UserError(
                f"{labels_from} has {len(labels)} labels for {size} texts: give a label a line, "
                "one for each text"
            )
        fields |= repeated_labels(run, labels, 1 if labels_from is not None else size)
    missing = (fields_beside_text(model) | fields_beside_text(guide)) - fields.keys()
    if missing == {LABELS}:
        raise UserError(
            f"the programs of {run} need the label of a text of your own: give --label, or "
            "--labels-from with one for each text"
        )
    if missing and not sources:
        raise UserError(
            f"the programs of {run} need more than a text of your own, such as its source: give "
            "--source"
        )
    return fields


def rows_of_given(
    model: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    source: Sequence[int] | None = None,
) -> Tensor:
    """Texts of the user's own as rows of ids; where the model writes documents, as documents.

    :param source: ids of what each is given, as :func:`encode_text` takes them.
    :returns: ``(N, T)``, or ``(N, S, T)``.
    :raises UserError: for text without a word, and a document of more sentences than the model
        writes.
    """
    if not writes_documents(model):
        return pad([encode_text(tokenizer, text, source) for text in texts])
    return pad_documents([document_of(model, tokenizer, text) for text in texts])


def document_of(model: nn.Module, tokenizer: Tokenizer, text: str) -> list[list[int]]:
    """The sentences of a text, which a line end or a bar between spaces sets apart.

    :raises UserError: as :func:`rows_of_given`.
    """
    sentences = [part for part in _BETWEEN_SENTENCES.split(text) if part.strip()]
    if not sentences:
        raise UserError(f"the document {text!r} is empty: give at least one sentence")
    most = model.max_sentences
    if len(sentences) > most:  # type: ignore[operator]
        raise UserError(
            f"the document {text[:60]!r} has {len(sentences)} sentences, and the model writes "
            f"{most} at the most: give fewer"
        )
    return [encode_text(tokenizer, sentence) for sentence in sentences]


def pad_documents(documents: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Rows of rows of ids as ``(N, S, T)``, padded on the right to most sentences and the longest.

    >>> pad_documents([[[4, 2]], [[4, 5, 2], [6, 2]]]).tolist()
    [[[4, 2, 0], [0, 0, 0]], [[4, 5, 2], [6, 2, 0]]]
    """
    most = max(len(document) for document in documents)
    rows = [[*document, *[[]] * (most - len(document))] for document in documents]
    return pad([row for document in rows for row in document]).unflatten(0, (-1, most))


def rows_of(fields: dict[str, Tensor], start: int, stop: int) -> dict[str, Tensor]:
    """What these of the texts are conditioned on."""
    return {name: value[start:stop] for name, value in fields.items()}


def batch_with(rows: Sequence[list[int]], fields: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch of these sentences, with the fields of each."""
    return {TOKENS: pad([torch.tensor(row).tolist() for row in rows]), **fields}
