# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""WikiText: articles with headings, in tokens set apart by spaces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pyro_textvae.data.layout import Layout, Sentence

_HEADING = re.compile(r"=(?P<more>( =)*) (?!=).* =( =)*$")
# A hyphen, comma or full stop within a word or number, which WikiText sets apart.
_WITHIN = re.compile(r" @([-,.])@ ")
_ENDS = frozenset(".!?")
_CLOSING = frozenset(["'", "''", ")", "]"])


class WikiText(Layout):
    """WikiText-2 and -103: each heading of the first level begins a document, and none is kept.

    ``@-@`` and its like are joined with their neighbours again. A sentence ends at a token that is
    a full stop, exclamation or question mark by itself; those of abbreviations are not.

    Source: Merity et al. 2016, https://arxiv.org/abs/1609.07843.

    >>> layout = WikiText(lambda text: [text])
    >>> lines = [" = Cats = ", "", " A well @-@ fed cat sat . It purred . ", " = = Food = = "]
    >>> [sentence.text for sentence in layout.sentences(lines)], layout.headings
    (['A well-fed cat sat .', 'It purred .'], 2)
    """

    def sentences(self, lines: Iterable[str]) -> Iterator[Sentence]:
        """The sentences of all paragraphs."""
        document = -1
        for line in lines:
            text = line.strip()
            heading = _HEADING.fullmatch(text)
            if heading is not None:
                self.headings += 1
                document += not heading["more"]
                continue
            for sentence in _sentences(_WITHIN.sub(r"\1", text).split()):
                yield Sentence(max(document, 0), " ".join(sentence))


def _sentences(tokens: Iterable[str]) -> Iterator[list[str]]:
    words: list[str] = []
    for token in tokens:
        closes = token in _CLOSING or (token == '"' and words.count('"') % 2 == 1)
        if words and _has_ended(words) and not closes and token not in _ENDS:
            yield words
            words = []
        words.append(token)
    if words:
        yield words


def _has_ended(words: list[str]) -> bool:
    closing = (*_CLOSING, '"')
    return words[-1] in _ENDS or (len(words) > 1 and words[-1] in closing and words[-2] in _ENDS)
