# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Each of Pyro's tools does on every program what docs/pyro-tools.md says."""

import re

import pytest

from tests.pyro_tools.table import FILE, head, row, written
from tests.pyro_tools.tools import TOOLS


@pytest.mark.parametrize(
    ("place", "tool"), list(enumerate(TOOLS)), ids=[tool.name for tool in TOOLS]
)
def test_table_says_what_happens(place, tool):
    """``make pyro-tools`` writes the table anew."""
    assert row(tool) == written()[2 + place]


def test_table_has_these_rows_and_no_others():
    assert written()[:2] == head()
    assert len(written()) == 2 + len(TOOLS)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_example_runs_as_it_stands():
    (source,) = re.findall(r"```python\n(.*?)```", FILE.read_text(), re.S)
    names = {}
    exec(compile(source, FILE.name, "exec"), names)
    assert names["chain"].get_samples()["z"].shape == (20, 2, 3)
