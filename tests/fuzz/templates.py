# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A corpus and three tiny runs that the cases start from, each made in a fork."""

from collections.abc import Sequence
from pathlib import Path

import torch

# An optimizer imports it, which takes a second. What draws the pictures of a report takes as long,
# and few cases come to that.
import torch._dynamo  # noqa: F401

import pyro_textvae.grid.run  # noqa: F401
import pyro_textvae.guides  # noqa: F401
import pyro_textvae.models  # noqa: F401
import pyro_textvae.priors  # noqa: F401
import pyro_textvae.report.run_report  # noqa: F401
import pyro_textvae.runs  # noqa: F401
from pyro_textvae.cli.main import main
from tests.fuzz.fork import run_in_fork
from tests.fuzz.scene import SIZES, write_toy

RUNS = {
    "run": (),
    "other": ("--seed", "1"),
    "language_model": ("--model", "language_model"),
}


def call_command(arguments: Sequence[str]) -> int:
    """The status of a command; one thread, as a fork has it."""
    torch.set_num_threads(1)
    return main(list(arguments))


def write_templates(folder: Path, writable: Path) -> None:
    """Write the corpus ``toy``, the runs, trained and evaluated, and an archive of one of them."""

    def call(*arguments: str) -> None:
        done = run_in_fork(lambda: call_command(arguments), folder, [writable], writable)
        assert done.status == 0, done.err

    folder.mkdir()
    write_toy(folder / "toy")
    for name, flags in RUNS.items():
        call("train", "--data", str(folder / "toy"), *SIZES, *flags, "--out", name)
        call("evaluate", name, "--num-samples", "10", "--report", "false")
    call("compress", "run", str(folder / "toy" / "test.txt"), "--out", "mine.txt.tvae")
