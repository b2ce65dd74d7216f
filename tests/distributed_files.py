# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Check that sdist and wheel hold what they must: ``make dist`` runs it on the folder of both.

The sdist is the repository without what is made of it; the wheel has every module, and no test.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

NOT_IN_SDIST = {".ci", ".github", ".gitignore"}
"""What serves the repository alone."""


def problems(folder: Path) -> list[str]:
    """What is missing from the archives of a folder, or too much in them."""
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    links = {f"pyro_textvae/{name}" for name in ("models", "guides")}
    wanted = {name for name in listed if name.partition("/")[0] not in NOT_IN_SDIST} - links
    with tarfile.open(sdist) as archive:
        packed = {member.name.partition("/")[2] for member in archive if member.isfile()}
    found = [f"not in the sdist: {name}" for name in sorted(wanted - packed)]
    modules = {name for name in wanted if name.startswith(("pyro_textvae/", "models/", "guides/"))}
    modules = {name if name.startswith("pyro_") else f"pyro_textvae/{name}" for name in modules}
    with zipfile.ZipFile(wheel) as archive:
        installed = {name for name in archive.namelist() if ".dist-info/" not in name}
    found += [f"not in the wheel: {name}" for name in sorted(modules - installed)]
    return found + [f"too much in the wheel: {name}" for name in sorted(installed - modules)]


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    print(*(wrong or ["sdist and wheel are complete"]), sep="\n")
    sys.exit(bool(wrong))
