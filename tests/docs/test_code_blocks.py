# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every command that a page shows is read as its command reads it; its Python is Python.

What runs to the end is tested beside the room that it is of.
"""

import ast
import re
import shlex
import textwrap
from pathlib import Path

import pytest
import yaml

from pyro_textvae import zoo
from pyro_textvae.cli.completion import PARTS
from pyro_textvae.cli.main import COMMANDS, main

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "README.zh.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs").glob("[tz]*/*.md")),
]
COMMAND = re.compile(r"^(?:\$ )?(?:pyro-textvae|torchrun .* -m pyro_textvae\.cli\.main) ([^#<|>]*)")


def blocks(page, languages):
    return re.findall(rf"^ *```(?:{languages})\n(.*?)^ *```", page.read_text(), re.M | re.S)


def commands_of(page):
    """The arguments of each pyro-textvae command of a page."""
    for block in blocks(page, "sh|console"):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            command = COMMAND.match(line)
            if command and "$" not in command[1]:
                yield shlex.split(command[1])


COMMANDS_SHOWN = [
    pytest.param(words, id=f"{page.parent.name}/{page.name}: {' '.join(words)[:60]}")
    for page in PAGES
    for words in commands_of(page)
]


@pytest.mark.parametrize("words", COMMANDS_SHOWN)
def test_command_is_read(words, capsys):
    """With ``--print-config`` a command prints its settings and does nothing else."""
    assert words[0] in COMMANDS
    with pytest.raises(SystemExit) as ended:
        assert main([*words, "--print-config"]) == 0, capsys.readouterr().err
    assert ended.value.code == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    if words[0] == "train":
        for name, kind in PARTS.items():
            if settings[name] is not None and ":" not in settings[name]:
                zoo.check_name(kind, settings[name])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_python_is_python(page):
    """A part of a function too; lines of docs/programs are compared with the programs."""
    for block in blocks(page, "python|\\{code-cell\\} ipython3"):
        if not block.startswith("# programs/"):
            ast.parse("def shown():\n" + textwrap.indent(textwrap.dedent(block), "    "))


def test_commands_are_there():
    assert len(COMMANDS_SHOWN) > 100
