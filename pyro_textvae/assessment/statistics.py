# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Statistics of a set of sentences that model criticism may be asked for by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from pyro_textvae import zoo
from pyro_textvae.errors import UserError

Words: TypeAlias = Sequence[Sequence[str]]
Statistic: TypeAlias = Callable[[Words], float]


def length(sentences: Words) -> float:
    """Mean number of words.

    >>> length([["a"], ["a", "b", "c"]])
    2.0
    """
    return float(np.mean([len(words) for words in sentences]))


def length_spread(sentences: Words) -> float:
    """Standard deviation of the number of words.

    >>> length_spread([["a"], ["a", "b", "c"]])
    1.0
    """
    return float(np.std([len(words) for words in sentences]))


def questions(sentences: Words) -> float:
    """Share of the sentences that end in a question mark.

    >>> questions([["who", "?"], ["me?"], ["he", "."]])
    0.6666666666666666
    """
    return float(np.mean([bool(words) and words[-1].endswith("?") for words in sentences]))


def type_token_ratio(sentences: Words) -> float:
    """Distinct words over words.

    >>> type_token_ratio([["a", "b"], ["a", "c"]])
    0.75
    """
    words = [word for each in sentences for word in each]
    return len(set(words)) / max(1, len(words))


def unknown_words(sentences: Words) -> float:
    """Share of the words that are ``<unk>``.

    >>> unknown_words([["a", "<unk>"]])
    0.5
    """
    words = [word for each in sentences for word in each]
    return words.count("<unk>") / max(1, len(words))


def repeated_words(sentences: Words) -> float:
    """Share of the sentences in which a word stands twice in a row.

    >>> repeated_words([["a", "a", "b"], ["a", "b", "a"]])
    0.5
    """
    return float(np.mean([any(map(str.__eq__, words, words[1:])) for words in sentences]))


def named_statistics() -> list[str]:
    """The names of the statistics that are here."""
    return [
        name
        for name, value in globals().items()
        if inspect.isfunction(value)
        and value.__module__ == __name__
        and inspect.signature(value).return_annotation == "float"
    ]


def load_statistic(spec: str) -> Statistic:
    """The statistic of a name, or of ``file.py:function``.

    :raises UserError: when there is no such function.
    """
    if ":" in spec:
        return zoo.load_function(spec)
    if spec not in named_statistics():
        raise UserError(
            f"there is no statistic {spec!r}: one of {', '.join(named_statistics())}; your own "
            "goes as path/to/file.py:function"
        )
    function: Statistic = globals()[spec]
    return function
