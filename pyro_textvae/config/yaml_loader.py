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


class OneOfEachLoader(yaml.SafeLoader):
    """Refuses a name that is given twice, by way of a merge too; YAML would keep one of them.

    A value that Python does not have, an integer of thousands of digits or the 45th of a month, is
    a YAML error too.

    >>> yaml.load("{epochs: 1, model: a, epochs: 2}", OneOfEachLoader)
    Traceback (most recent call last):
    ...
    yaml.constructor.ConstructorError: epochs is given twice, in lines 1 and 1
      in "<unicode string>", line 1, column 1:
        {epochs: 1, model: a, epochs: 2}
        ^
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError) as error:
            problem = f"the value cannot be read: {error}"
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


def _keys(node: yaml.MappingNode) -> Iterator[yaml.ScalarNode]:
    for key, value in node.value:
        if key.tag == _MERGE:
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for part in merged:
                if isinstance(part, yaml.MappingNode):
                    yield from _keys(part)
        elif isinstance(key, yaml.ScalarNode):
            yield key
