# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What must hold of every bad input, whatever it is."""

import hashlib
import os
import re
import stat
from fnmatch import fnmatch
from pathlib import Path

from tests.fuzz.fork import LONGEST, Outcome
from tests.fuzz.scene import Case, Scene

_LEFT_BEHIND = ("unfinished-", "writer.lock", ".tmp")


def snapshot(scene: Scene) -> dict[str, str]:
    """A hash of every file, and where every link leads, by paths below the folder of the case."""
    top = scene.work.parent
    found = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                content = f"-> {os.readlink(path)}"
            elif stat.S_ISREG(mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                content = oct(stat.S_IFMT(mode))
            found[str(path.relative_to(top))] = content
    return found


def faults(
    scene: Scene, case: Case, outcome: Outcome, before: dict[str, str], after: dict[str, str]
) -> list[str]:
    """What does not hold; nothing where all is well."""
    said = []
    if outcome.is_hanging:
        said.append(f"still running after {LONGEST:.0f} s")
    elif outcome.status not in (0, 2):
        said.append(f"exit status {outcome.status}: {outcome.err.strip()[-1500:]}")
    if "Traceback (most recent call last)" in outcome.err + outcome.out:
        said.append("a traceback")
    if outcome.events:
        said.append(f"did what it may not: {outcome.events.strip()[:500]}")
    if scene.canary.exists():
        said.append("executed the code of the input")
    if outcome.orphans:
        said.append("left a process behind")
    if outcome.status == 2:
        said += _of_refusal(case, outcome)
    if outcome.status == 0 and case.must_refuse:
        said.append(f"was not refused: {outcome.out.strip()[-300:]}")
    if outcome.status == 0 and not re.search(case.expects, outcome.out):
        said.append(f"did not do what it was asked: {outcome.out.strip()[-300:]!r}")
    if outcome.status == 0 and "Warning:" in outcome.err:
        said.append(f"a warning of Python's: {outcome.err.strip()[-500:]}")
    if not outcome.is_hanging:
        said += _of_files(case, outcome.status, before, after)
    return said


def _of_refusal(case: Case, outcome: Outcome) -> list[str]:
    lines = [line for line in re.split(r"[\r\n]", outcome.err) if line.strip()]
    errors = [line for line in lines if line.startswith("pyro-textvae: error: ")]
    if len(errors) != 1 or lines[-1] != errors[0] or outcome.err[-1] != "\n":
        return [f"exit status 2 without one line that says why: {outcome.err[-500:]!r}"]
    others = [line for line in lines if line not in errors and "|" not in line]
    said = [f"further lines beside the error: {others[:3]}"] if others else []
    if case.call is None and len(errors[0]) > 1500:
        said.append(f"a line of {len(errors[0])} characters")
    return said


def _of_files(case: Case, status: int, before: dict[str, str], after: dict[str, str]) -> list[str]:
    changed = [name for name, content in before.items() if after.get(name) != content]
    new = [name for name in after if name not in before]
    said = []
    allowed = [f"work/{pattern}" for pattern in case.may_write]

    def is_allowed(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in allowed)

    wrong = [name for name in changed if status != 0 or not is_allowed(name)]
    if wrong:
        said.append(f"changed or removed {wrong[:5]}")
    stray = [name for name in new if not is_allowed(name)]
    if stray:
        said.append(f"new files {stray[:5]}")
    left = [name for name in new if Path(name).name.startswith(_LEFT_BEHIND)]
    if left:
        said.append(f"left behind {left[:5]}")
    return said
