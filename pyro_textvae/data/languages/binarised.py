# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The rules of a grammar in the form that CKY takes: of one symbol, of two, or of a word."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple


class BinaryRules(NamedTuple):
    """Rules over symbols that are numbered from 0.

    :param start: the start symbol.
    :param num_symbols: how many there are.
    :param unit: parent, child and probability of each rule of one symbol.
    :param binary: parent, left child, right child and probability of each rule of two.
    :param lexical: parent, word and probability of each rule of a word.
    """

    start: int
    num_symbols: int
    unit: list[tuple[int, int, float]]
    binary: list[tuple[int, int, int, float]]
    lexical: list[tuple[int, str, float]]


def binarised(
    start: Hashable,
    rules: Sequence[tuple[Hashable, tuple[Hashable, ...], float]],
    words: Mapping[Hashable, str],
) -> BinaryRules:
    """A rule of three or more symbols becomes a chain of binary ones through new symbols.

    So derivations stay one to one.

    >>> binarised("S", [("S", ("a", "S", "a"), 0.5), ("S", ("a",), 0.5)], {"a": "a"}).binary
    [(0, 1, 2, 0.5), (2, 0, 1, 1.0)]

    :param start: the start symbol.
    :param rules: left side, right side and probability of each; no right side is empty.
    :param words: the word of each symbol that is a terminal.
    """
    index: dict[Hashable, int] = {}

    def number(symbol: Hashable) -> int:
        return index.setdefault(symbol, len(index))

    unit: list[tuple[int, int, float]] = []
    binary: list[tuple[int, int, int, float]] = []
    first = number(start)
    # A preterminal of its own for every word that stands beside other symbols.
    lexical: list[tuple[int, str, float]] = []
    wrapped = {symbol for _, right, _ in rules if len(right) > 1 for symbol in right}
    for symbol in words.keys() & wrapped:
        lexical.append((number(symbol), words[symbol], 1.0))
    for rule, (left, right, probability) in enumerate(rules):
        if len(right) == 1 and right[0] in words:
            lexical.append((number(left), words[right[0]], probability))
        elif len(right) == 1:
            unit.append((number(left), number(right[0]), probability))
        else:
            parent, weight = number(left), probability
            for position in range(len(right) - 2):
                rest = number((rule, position))
                binary.append((parent, number(right[position]), rest, weight))
                parent, weight = rest, 1.0
            binary.append((parent, number(right[-2]), number(right[-1]), weight))
    return BinaryRules(first, len(index), unit, binary, lexical)
