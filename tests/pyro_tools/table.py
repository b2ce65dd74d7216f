# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/pyro-tools.md."""

from pathlib import Path

from tests.pyro_tools.programs import PROGRAMS
from tests.pyro_tools.tools import TOOLS, outcome

FILE = Path(__file__).parents[2] / "docs" / "pyro-tools.md"
BEGIN = "<!-- table: make pyro-tools -->\n"
END = "<!-- end of table -->\n"


def head():
    """The first two lines."""
    titles = ["tool", *(program.title for program in PROGRAMS), "to know"]
    return [_line(titles), _line(["---"] * len(titles))]


def row(tool):
    """The line of a tool, after a trial of every cell."""
    return _line([tool.name, *(outcome(tool, program) for program in PROGRAMS), tool.note])


def written():
    """The lines that stand in the file."""
    return FILE.read_text().partition(BEGIN)[2].partition(END)[0].splitlines()


def rewrite():
    """Put the table of now into the file."""
    before, _, rest = FILE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    lines = [*head(), *(row(tool) for tool in TOOLS)]
    FILE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after)


def _line(cells):
    return "| " + " | ".join(cells) + " |"
