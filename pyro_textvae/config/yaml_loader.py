# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""YAML in which every name stands once, and of which nothing but a YAML error comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"
_FLOAT = "tag:yaml.org,2002:float"
WITH_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
"""Numbers such as ``1e-3``."""
MOST_NESTED = 100
"""Brackets in brackets."""
MOST_VALUES = 100_000
"""In a file of settings; aliases of aliases can stand for more than a memory holds."""


class OneOfEachLoader(yaml.SafeLoader):
    """Refuses a name that is given twice, by way of a merge too; YAML would keep one of them.

    What Python does not make of its text (an integer of thousands of digits, the 45th of a month)
    and nesting beyond its stack are YAML errors too.

    >>> yaml.load("{epochs: 1, model: a, epochs: 2}", OneOfEachLoader)
    Traceback (most recent call last):
    ...
    yaml.constructor.ConstructorError: epochs is given twice, in lines 1 and 1
      in "<unicode string>", line 1, column 1:
        {epochs: 1, model: a, epochs: 2}
        ^
    """

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        """The start of a list or mapping in brackets, of which the parser's time is the square."""
        if self.flow_level >= MOST_NESTED:
            problem = "it is nested too deeply"
            raise yaml.scanner.ScannerError(None, None, problem, self.get_mark())
        super().fetch_flow_collection_start(token)

    def get_single_data(self) -> Any:
        """The value of the one document there is."""
        try:
            return super().get_single_data()
        except RecursionError as error:
            raise yaml.composer.ComposerError(None, None, "it is nested too deeply") from error

    def get_single_node(self) -> yaml.Node | None:
        """The node of the one document there is, in which aliases stand for a bounded content."""
        node = super().get_single_node()
        if node is not None:
            _num_values(node, {})
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            text = node.value if isinstance(node, yaml.ScalarNode) else node.tag
            shown = text if len(text) <= 40 else f"{text[:40]}... of {len(text)} characters"
            problem = f"the value cannot be read: {shown!r} is no value of its type"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node whose names are all different."""
        lines: dict[Any, int] = {}
        for key in _keys(node):
            line = key.start_mark.line + 1
            if key.value in lines:
                problem = f"{key.value} is given twice, in lines {lines[key.value]} and {line}"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            lines[key.value] = line
        return super().construct_mapping(node, deep)


class SettingsLoader(OneOfEachLoader):
    """Reads ``1e-3`` as a number, which in YAML 1.1 it is not.

    >>> yaml.load("rate: 1e-3", SettingsLoader)
    {'rate': 0.001}
    """


SettingsLoader.add_implicit_resolver(_FLOAT, WITH_EXPONENT, list("-+0123456789"))


def _num_values(node: yaml.Node, counted: dict[yaml.Node, int | None]) -> int:
    """Values in a node when its aliases are written out.

    :param counted: of nodes that were met before; None for those that the node is inside of.
    :raises yaml.composer.ComposerError: for a node that holds itself, or holds too many.
    """
    if node in counted:
        values = counted[node]
        if values is None:
            raise yaml.composer.ComposerError(None, None, "it holds itself", node.start_mark)
        return values
    counted[node] = None
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    total = 1 + sum(_num_values(part, counted) for part in parts)
    if total > MOST_VALUES:
        problem = f"its aliases stand for more than {MOST_VALUES:,} values"
        raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
    counted[node] = total
    return total


def _keys(node: yaml.MappingNode) -> Iterator[yaml.ScalarNode]:
    for key, value in node.value:
        if key.tag == _MERGE:
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for part in merged:
                if isinstance(part, yaml.MappingNode):
                    yield from _keys(part)
        elif isinstance(key, yaml.ScalarNode):
            yield key
