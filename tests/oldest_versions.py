# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Print the oldest version of every dependency that pyproject.toml allows, as pip's constraints.

``make test-oldest`` installs them together and runs the suite with them.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent

NOT_TRIED = {"torch"}
"""Its old releases are to be had with a GPU's libraries alone, gigabytes: that of constraints.txt
is installed in their place."""


def oldest_versions() -> list[str]:
    """One constraint a dependency that has a lower bound, extras' too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    lines = {*project["dependencies"], *(line for extra in extras for line in extra)}
    named = [re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)", line) for line in lines]
    oldest = {match[1]: match[2] for match in named if match and match[1] not in NOT_TRIED}
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    instead = [line for line in pinned if line.partition("==")[0] in NOT_TRIED]
    return sorted([*(f"{name}=={version}" for name, version in oldest.items()), *instead])


if __name__ == "__main__":
    print(*oldest_versions(), sep="\n")
