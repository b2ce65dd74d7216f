# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong with YAML is an error of YAML's, and aliases are bounded."""

import pytest
import yaml

from pyro_textvae.config.yaml_loader import MOST_VALUES, OneOfEachLoader

NINE = ", ".join(["*a{}"] * 9)


def aliases_of_aliases(depth):
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{NINE.replace('{}', str(i - 1))}]" for i in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("epochs: " + "9" * 5000, r"'9{40}\.\.\. of 5000 characters' is no value of its type"),
        ("seed: !!int x", "'x' is no value of its type"),
        ("seed: !!bool maybe", "'maybe' is no value of its type"),
        ("seed: !!timestamp x", "'x' is no value of its type"),
        ("seed: 2001-99-01", "'2001-99-01' is no value of its type"),
        ("[" * 5000 + "]" * 5000, "it is nested too deeply"),
        ("x: &x [*x]", "it holds itself"),
        (aliases_of_aliases(9), "its aliases stand for more than 100,000 values"),
    ],
)
def test_what_cannot_be_read(text, problem):
    with pytest.raises(yaml.YAMLError, match=problem):
        yaml.load(text, OneOfEachLoader)


def test_aliases_within_bounds():
    text = "base: &base {epochs: 1}\nruns: [*base, {<<: *base, seed: 2}]"
    runs = [{"epochs": 1}, {"epochs": 1, "seed": 2}]
    assert yaml.load(text, OneOfEachLoader) == {"base": {"epochs": 1}, "runs": runs}
    assert 9**4 < MOST_VALUES
    assert len(yaml.load(aliases_of_aliases(4), OneOfEachLoader)["a3"]) == 9
