# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What docs/generation.md says of metrics runs as it stands."""

import re
from pathlib import Path

from pyro_textvae.assessment import build_metric
from tests.assessment.texts import by_name, material

PAGE = (Path(__file__).parents[2] / "docs" / "generation.md").read_text()


def test_metric_of_a_readers_own(tmp_path):
    (code,) = re.findall(r"```python\n(# mine.py\n.*?)```", PAGE, re.S)
    (tmp_path / "mine.py").write_text(code)
    metric = build_metric(f"{tmp_path / 'mine.py'}:Shouting")
    found = by_name(metric, material(("a !", "b"), ("a", "b")))
    assert found["shouting"].value == 0.5
