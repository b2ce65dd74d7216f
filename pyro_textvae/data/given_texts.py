# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts that a program gives, kept as files that a corpus can be loaded of again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyro_textvae.data.cache_dir import default_cache_dir
from pyro_textvae.data.records import content_digest
from pyro_textvae.errors import UserError

TEXT, SOURCE, LABEL = "text", "source", "label"
"""The columns of the files."""

_TEXT_COLUMNS = ("text", "sentence")
"""Columns that hold the text where none is named, as in files."""

_FOLDER = "texts"


def as_texts(texts: Iterable[str], what: str = "texts") -> list[str]:
    """The texts as a list.

    >>> as_texts(["a cat", 3])
    Traceback (most recent call last):
    ...
    pyro_textvae.errors.UserError: texts[1] is 3, not a string

    :param texts: a list, an iterator, a column of a data frame; or a whole data frame or
        ``datasets.Dataset`` with a column ``text`` or ``sentence``.
    :param what: they are called in messages.
    :raises UserError: for one text in the place of several, for none, and for what is no string.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise UserError(f"{what} must be a list of strings, got {texts!r}")
    listed = list(_column_of(texts, what))
    if not listed:
        raise UserError(
            f"{what} has no text: give at least one (an iterator that was used before is empty)"
        )
    for index, text in enumerate(listed):
        if not isinstance(text, str):
            raise UserError(f"{what}[{index}] is {text!r}, not a string")
    return listed


def _column_of(texts: Any, what: str) -> Iterable[Any]:
    """The column of text of a table; what is no table as it is.

    :raises UserError: for a table without such a column, and for a mapping, as of splits.
    """
    names = getattr(texts, "column_names", None)  # datasets.Dataset, pyarrow.Table
    names = getattr(texts, "columns", None) if names is None else names  # pandas, polars
    if isinstance(texts, Mapping):
        raise UserError(
            f"{what} is a mapping of {', '.join(map(str, texts))}: give one of them, such as "
            f"{what}[{next(iter(texts), 'train')!r}], and the validation split as valid="
        )
    if names is None:
        return texts
    for name in _TEXT_COLUMNS:
        if name in list(names):
            return texts[name]
    raise UserError(
        f"{what} is a table without a column {' or '.join(_TEXT_COLUMNS)}; it has "
        f"{', '.join(map(str, names))}: give the column of the text itself"
    )


def keep_texts(
    texts: Sequence[str],
    *,
    sources: Sequence[str] | None = None,
    labels: Sequence[object] | None = None,
    valid: Sequence[str] | None = None,
) -> Path:
    """Write texts into the user's cache, once for the same ones; what ``load_corpus`` takes.

    :param sources, labels: of each text; a label of None is not given.
    :param valid: texts to validate on: every second of them is the test split's. Without them one
        file is written, which is split 90/5/5 by the hash of the text.
    :returns: a file, or a folder with one for each split.
    :raises UserError: for lists of other lengths, for ``valid`` beside sources or labels, and where
        the cache cannot be written.
    """
    columns: dict[str, Sequence[object]] = {TEXT: texts}
    for name, values in ((SOURCE, sources), (LABEL, labels)):
        if values is None:
            continue
        if len(values) != len(texts):
            raise UserError(f"there are {len(texts)} texts and {len(values)} {name}s: give as many")
        if valid is not None:
            raise UserError(f"valid has no {name}s: leave it out, and the texts are split 90/5/5")
        columns[name] = values
    files = {"texts.jsonl": _rows(columns)}
    if valid is not None:
        if len(valid) < 2:
            raise UserError("valid has one text, and half of it is for the test: give at least two")
        halves = {"valid": valid[::2], "test": valid[1::2]}
        files = {f"{split}.jsonl": _rows({TEXT: half}) for split, half in halves.items()}
        files["train.jsonl"] = _rows(columns)
    digest = content_digest(*[part for item in sorted(files.items()) for part in item])[:32]
    folder = default_cache_dir().absolute() / _FOLDER / digest
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if not (folder / name).is_file():
                unfinished = folder / f".{os.getpid()}-{name}"
                unfinished.write_text(content, encoding="utf-8")
                unfinished.replace(folder / name)
    except OSError as error:
        raise UserError(
            f"cannot keep the texts in {str(folder)!r}: {error.strerror}; free space, or set "
            "PYRO_TEXTVAE_CACHE"
        ) from error
    return folder / next(iter(files)) if valid is None else folder


def is_of_given_texts(data: str) -> bool:
    """Whether a setting ``data`` is what :func:`keep_texts` wrote."""
    return default_cache_dir().absolute() / _FOLDER in Path(data).parents


def _rows(columns: dict[str, Sequence[object]]) -> str:
    rows = zip(*columns.values(), strict=True)
    return "".join(
        json.dumps(dict(zip(columns, row, strict=True)), default=str) + "\n" for row in rows
    )
