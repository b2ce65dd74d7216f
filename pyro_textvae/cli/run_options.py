# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every command on a finished run takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pyro_textvae.cli.parsing import parse
from pyro_textvae.config.checks import SEED, Member, check_settings, setting
from pyro_textvae.errors import UserError


@dataclass
class RunOptions:
    """A run and how to draw from it.

    Args:
        run: folder made by train.
        seed: of the draws, and of the sentences taken.
        device: auto, cpu, cuda, or cuda:N.
        trust_code: execute code of your own that a run of somebody else names; see SECURITY.md.

    """

    run: str = ""
    seed: int = setting(0, SEED)
    device: str = "auto"
    trust_code: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass
class DecodingOptions(RunOptions):
    """How words are chosen.

    Args:
        method: ancestral draws every word, greedy takes the likeliest; or file.py:Class.
        options: keywords of the method, as a JSON object.
        unknown: whether <unk> may be generated; false reads better, but is not the model.

    """

    method: str = setting("greedy", Member("methods"))
    options: dict[str, Any] = field(default_factory=dict)
    unknown: bool = True


Options = TypeVar("Options", bound=RunOptions)


def parse_with_run(
    cls: type[Options], command: str, arguments: Sequence[str], *, then: str = ""
) -> Options:
    """Read the settings of a command whose run may come first, without a flag.

    :param then: the setting that may follow the run, likewise; none by default.
    :raises UserError: when there is no run among them.
    """
    given = list(arguments)
    if given and not given[0].startswith("-"):
        given = ["--run", *given]
        if then and given[2:] and not given[2].startswith("-"):
            given.insert(2, f"--{then}")
    options, _ = parse(cls, command, given)
    if not options.run:
        raise UserError(f"{command} needs a run folder: pyro-textvae {command} RUN")
    return options
