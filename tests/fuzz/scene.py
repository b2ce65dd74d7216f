# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The folders of one bad input: what it may read and write, and what it must leave alone."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

SIZES = ("--embedding-dim", "4", "--hidden-dim", "5", "--latent-dim", "2", "--epochs", "1")


@dataclass
class Case:
    """A bad input, and what is run on it.

    words
        What is bad about it, for the report.
    arguments
        Of the command line, run in the folder ``work``.
    call
        In place of them, a call from Python.
    must_refuse
        Whether anything but a refusal is wrong.
    expects
        A pattern that standard output has where it succeeds: that what was asked for was done.
    may_write
        What the command may write, below ``work``; patterns of ``fnmatch``. What is there already
        may change only where it succeeds.
    """

    words: str
    arguments: list[str] = field(default_factory=list)
    call: Callable[[], Any] | None = None
    must_refuse: bool = False
    expects: str = ""
    may_write: tuple[str, ...] = ()


class Scene:
    """One folder for a case: ``work``, where it runs, and ``outside``, which is somebody else's.

    templates
        Holds a corpus ``toy`` and the runs ``run``, ``other`` and ``language_model``.
    canary
        A file that only hostile code would make.
    """

    def __init__(self, folder: Path, templates: Path, seed: str) -> None:
        self.random = Random(seed)
        self.templates = templates
        self.work, self.outside = folder / "work", folder / "outside"
        self.canary = folder / "executed"
        for each in (self.work, self.outside, folder / "home"):
            each.mkdir(parents=True)
        (self.outside / "letter.txt").write_text("of somebody else\n" * 40)
        (self.outside / "folder").mkdir()
        (self.outside / "folder" / "picture.html").write_text("of somebody else\n")

    def copy(self, name: str, to: str | None = None) -> Path:
        """A copy of a template in ``work``."""
        return Path(shutil.copytree(self.templates / name, self.work / (to or name)))

    def write(self, name: str, content: bytes | str) -> Path:
        """A file in ``work``; lone surrogates of a text are written as bytes."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogatepass")
        path.write_bytes(content)
        return path

    def odds(self, share: float) -> bool:
        """True with this probability."""
        return self.random.random() < share


def sentences(number: int = 48) -> list[str]:
    """Sentences of a tiny language, all different."""
    animals, verbs = ("cat", "dog", "bird", "fox"), ("sat", "ran", "sang", "slept")
    places = ("mat", "sun", "box", "sea")
    every = [f"the {a} {v} in the {p}" for a in animals for v in verbs for p in places]
    return every[:number]


def write_toy(folder: Path) -> None:
    """The three splits of that language."""
    folder.mkdir()
    lines = sentences()
    for split, part in {"train": lines[:32], "valid": lines[32:40], "test": lines[40:]}.items():
        (folder / f"{split}.txt").write_text("".join(f"{line}\n" for line in part))
