# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What docs/generation.md says of decoding methods holds."""

import inspect
import re
from pathlib import Path

from pyro_textvae import zoo
from pyro_textvae.cli.run_options import MethodOptions

TEXT = (Path(__file__).parent.parent.parent / "docs" / "generation.md").read_text()
PART = TEXT[TEXT.index("## Decoding methods") :]


def test_example_runs(capsys):
    exec(re.search(r"```python\n(.*?)```", PART, re.S)[1], {})
    assert capsys.readouterr().out == "torch.Size([6, 7]) torch.Size([6])\n"


def test_every_method_is_there_with_its_defaults_and_flags():
    flags = set(inspect.signature(MethodOptions).parameters)
    for name in zoo.names("methods"):
        (row,) = re.findall(rf"^\| `{name}` \|(.*)$", PART, re.M)
        for option in inspect.signature(zoo.load("methods", name)).parameters.values():
            if option.name != "tokenizer":
                assert option.name in flags, "a flag on the command line"
                number = isinstance(option.default, float)
                default = f"{option.default:g}" if number else option.default
                shown = f"`{option.name}` {default}"
                own = name in ("ancestral", "minimum_bayes_risk")
                assert shown in row or (option.name == "temperature" and not own)
