# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What ``fit`` is given to read, as settings of ``train``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_textvae.data import Corpus
from pyro_textvae.data import given_texts as given
from pyro_textvae.errors import UserError
from pyro_textvae.runs.given_corpus import settings_of_corpus


@dataclass(frozen=True)
class GivenText:
    """The text of a run.

    settings
        Of ``train``, those that say which text is read.
    corpus
        Where it is loaded already.
    """

    settings: dict[str, Any]
    corpus: Corpus | None = None


def given_text(
    texts: Any,
    settings: Mapping[str, Any],
    *,
    valid: Iterable[str] | None,
    sources: Iterable[str] | None,
    labels: Iterable[object] | None,
) -> GivenText:
    """The text that ``fit`` is given.

    :param settings: that the estimator was given.
    :raises UserError: for texts that cannot be read, for lists that go with no list of texts, and
        for settings that a corpus was loaded without.
    """
    beside = {"valid": valid, "sources": sources, "labels": labels}
    if isinstance(texts, str | Path | Corpus):
        for name, value in beside.items():
            if value is not None:
                raise UserError(f"{name} goes with a list of texts, and {_name(texts)} has its own")
    if isinstance(texts, Corpus):
        of_corpus = settings_of_corpus(texts)
        for name, value in of_corpus.items():
            if settings.get(name, value) != value:
                raise UserError(
                    f"{name}={settings[name]!r} is not that of the corpus, {value!r}: load the "
                    "corpus with it, or leave it out"
                )
        return GivenText(of_corpus, texts)
    if isinstance(texts, str | Path):
        return GivenText({"data": str(texts)})
    path = given.keep_texts(
        given.as_texts(texts),
        valid=None if valid is None else given.as_texts(valid, "valid"),
        sources=None if sources is None else given.as_texts(sources, "sources"),
        labels=None if labels is None else list(labels),
    )
    return GivenText(
        {
            "data": str(path),
            "text_column": given.TEXT,
            "source_column": None if sources is None else given.SOURCE,
            "label_column": None if labels is None else given.LABEL,
        }
    )


def _name(texts: str | Path | Corpus) -> str:
    return f"the corpus {texts.source}" if isinstance(texts, Corpus) else repr(str(texts))
