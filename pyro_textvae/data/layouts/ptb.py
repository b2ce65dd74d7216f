# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One sentence of tokens a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyro_textvae.data.layout import Layout, Sentence


class PennTreebank(Layout):
    """Lines that are sentences already, their tokens as they are; a blank line ends a document.

    In the Penn Treebank of Mikolov et al. 2010 no line is blank: where its documents ended is lost.

    >>> layout = PennTreebank(lambda text: [text])
    >>> [tuple(sentence) for sentence in layout.sentences([" mr. <unk> is N", "", " so it is"])]
    [(0, 'mr. <unk> is N'), (1, 'so it is')]
    """

    def sentences(self, lines: Iterable[str]) -> Iterator[Sentence]:
        """A sentence a line."""
        document, is_empty = 0, True
        for line in lines:
            text = " ".join(line.split())
            if text:
                yield Sentence(document, text)
                is_empty = False
            elif not is_empty:
                document, is_empty = document + 1, True
