# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What stands where nothing is set: another default is another experiment."""

import importlib
import inspect
import json
from pathlib import Path

import pytest

EXPECTED = json.loads(Path(__file__).with_suffix(".json").read_text())


def defaults(place):
    """Default of each parameter that has one, as JSON holds it."""
    module, _, name = place.partition(":")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    values = {
        name: parameter.default
        for name, parameter in parameters.items()
        if isinstance(parameter.default, (bool, int, float, str, tuple))
    }
    return json.loads(json.dumps(values))


@pytest.mark.parametrize("place", EXPECTED)
def test_defaults_are_those_written_down(place):
    """A new parameter needs no entry; one that changes needs a line in the changelog too."""
    found = defaults(place)
    assert {name: found.get(name) for name in EXPECTED[place]} == EXPECTED[place]
