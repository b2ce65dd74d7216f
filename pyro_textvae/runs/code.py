# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Code from outside the catalogue that a run names: executed only where the user trusts it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from pyro_textvae import zoo
from pyro_textvae.data.source import is_own_source
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder.files import write_text
from pyro_textvae.runs.pretrained import KEPT, check_kept
from pyro_textvae.siblings import siblings_of

COPIES = "source"
"""The folder of a run that holds its copies of files of the user's own."""

_OF_PYRO = "pyro.infer:"
_OF_PACKAGE = (
    "pyro_textvae.infer:SentenceAutoGuide",
    "pyro_textvae.infer.sentence_autoguide:SentenceAutoGuide",
)


class UntrustedCodeError(UserError):
    """A run names code that neither the catalogue has nor the user has trusted."""


@dataclass(frozen=True)
class OwnCode:
    """A class from outside the catalogue that a run names.

    :param run: the folder of the run, without links.
    :param setting: what it is of the run: ``model``, ``data``, ...
    :param spec: its name, as the run has it.
    :param file: the file that is executed; None for a class of an installed package.
    :param sha256: of the file; empty for a class of an installed package.
    :param identity: a hash of all that trust is given to.
    :param beside: the modules beside the file that it imports, with their hashes.
    """

    run: Path
    setting: str
    spec: str
    file: Path | None
    sha256: str
    identity: str
    beside: tuple[tuple[Path, str], ...] = ()

    def __str__(self) -> str:
        """The file and its hash, with those that it imports, or the class of a package."""
        if self.file is None:
            return self.spec
        files = ((self.file, self.sha256), *self.beside)
        return ", ".join(f"{file} (sha256 {sha256})" for file, sha256 in files)


def own_code(
    run: Path, kind: str, setting: str, spec: str, options: Mapping[str, Any]
) -> OwnCode | None:
    """The code that ``spec`` names; None for a member of the catalogue. Nothing is imported.

    An objective of ``pyro.infer`` is as safe as the catalogue, which is built on it, and so is what
    this package has beside the catalogue.

    :param run: the folder of the run.
    :param kind: of the catalogue.
    :raises UserError: for a file that is not there, and for what is no name of a class.
    """
    if kind == "sources":
        if not is_own_source(spec):
            return None
    elif (
        zoo.is_member(kind, spec)
        or (kind == "objectives" and spec.startswith(_OF_PYRO))
        or (kind == "guides" and spec in _OF_PACKAGE)
    ):
        return None
    place, _, class_name = spec.partition(":")
    file = Path(place) if place.endswith(".py") else None
    if file is None and not (re.fullmatch(r"[^\W\d][\w.]*", place) and class_name.isidentifier()):
        zoo.check_name(kind, spec)
        raise UntrustedCodeError(f"{run} names the {setting} {spec!r}, which is no class")
    if file is not None and not file.is_file():
        relative = "" if file.is_absolute() else f" in {Path.cwd()}, which its path is relative to"
        raise UserError(f"{run} needs its {setting}: there is no file {file}{relative}")
    sha256 = "" if file is None else _sha256(file)
    beside = tuple((each, _sha256(each)) for each in (siblings_of(file) if file else ()))
    home = run.resolve()
    trusted = [str(home), setting, spec, json.dumps(options, sort_keys=True, default=str)]
    if file is not None:
        # A copy in the run is trusted for what it holds; a file elsewhere, such as a source of
        # text, for its place: its owner may edit it, and another's of its name is not it.
        target = file.resolve()
        inside = target.is_relative_to(home)
        trusted[2] = f"{target.relative_to(home).as_posix() if inside else target}:{class_name}"
        trusted += [sha256, *(f"{each.name} {sha}" for each, sha in beside)] if inside else []
    identity = hashlib.sha256(json.dumps(trusted).encode()).hexdigest()
    return OwnCode(home, setting, spec, file, sha256, identity, beside)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def copy_in_run(run: Path, setting: str, spec: str) -> str:
    """Where the run keeps what ``spec`` names; a name without a file or folder as it is.

    :raises UntrustedCodeError: for a file elsewhere than in the run's ``source``, a pre-trained
        model elsewhere than in its ``pretrained``, and for a link.
    :raises UserError: for a pre-trained model that has changed.
    """
    pretrained = zoo.pretrained_path(spec)
    if pretrained is not None:
        _check_inside(run, setting, spec, pretrained, KEPT)
        check_kept(run, pretrained)
        return f"{zoo.PRETRAINED}:{run / pretrained}"
    place, colon, class_name = spec.partition(":")
    if not place.endswith(".py"):
        return spec
    _check_inside(run, setting, spec, place, COPIES)
    return f"{run / place}{colon}{class_name}"


def _check_inside(run: Path, setting: str, spec: str, place: str, copies: str) -> None:
    """Refuse a place that is not in the run's folder of copies, or that a link leads to."""
    path = PurePosixPath(place)
    inside = path.parts[:1] == (copies,) and ".." not in path.parts
    steps = [run.joinpath(*path.parts[: n + 1]) for n in range(len(path.parts))] if inside else []
    if not inside or any(step.is_symlink() for step in steps):
        raise UntrustedCodeError(
            f"{run} names the {setting} {spec!r}, which lies outside of its folder "
            f"{copies}: a run executes no file but the copies that train put there"
        )


def check_trusted(code: Iterable[OwnCode], *, trust_code: bool) -> None:
    """Refuse code that may not be executed.

    Trusted is what the user says with ``trust_code``, whose files and hashes are then printed on
    standard error, and what :func:`remember` has of this user's own ``train``.

    :raises UntrustedCodeError: with the file and its hash.
    """
    for each in code:
        if trust_code:
            _announce(each)
        elif not _is_remembered(each):
            raise UntrustedCodeError(
                f"the {each.setting} of {each.run} is code from outside the catalogue, {each}, and "
                "was not executed: read it, and give --trust-code (trust_code=True) if you trust it"
            )


def remember(code: Iterable[OwnCode]) -> str | None:
    """Trust this code from now on, in the folder where it is; for runs of this user's own.

    :returns: why that could not be kept; None where it was.
    """
    try:
        for each in code:
            place = _trusted_folder()
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_text(place / each.identity, each.identity + "\n")
    except (OSError, RuntimeError) as error:
        return f"cannot keep in mind that its code is yours ({error}): give --trust-code later"
    return None


def _is_remembered(code: OwnCode) -> bool:
    try:
        path = _trusted_folder() / code.identity
        entry = path.lstat()
        # Somebody else may write where a shared folder was chosen, but not in this user's name,
        # and a file of this user's that was renamed holds another identity.
        if not stat.S_ISREG(entry.st_mode) or entry.st_uid != os.getuid():
            return False
        return path.read_text(encoding="utf-8").strip() == code.identity
    except (OSError, RuntimeError, ValueError):
        return False


def _trusted_folder() -> Path:
    """``$PYRO_TEXTVAE_CONFIG``, else the user's folder of settings by the XDG rules."""
    if named := os.environ.get("PYRO_TEXTVAE_CONFIG"):
        base = Path(named).expanduser()
    else:
        config = os.environ.get("XDG_CONFIG_HOME")
        base = (Path(config) if config else Path("~/.config").expanduser()) / "pyro-textvae"
    return base / "trusted-code"


@cache
def _announce(code: OwnCode) -> None:
    """Say what is going to be executed, once in a process."""
    what = str(code)
    if code.file is None:
        package = find_spec(code.spec.partition(".")[0].partition(":")[0])
        origin = package.origin if package is not None else None
        if origin is not None and Path(origin).is_file():
            digest = hashlib.sha256(Path(origin).read_bytes()).hexdigest()
            what += f" of {origin} (sha256 {digest})"
    print(f"executing the {code.setting} of {code.run}: {what}", file=sys.stderr)
