# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Kills at random moments of train, evaluate and grids: what is resumed is what was not killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="forks and waits as Linux does")
def test_a_hundred_kills():
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.kills", "--kills", "100", "--seed", "0"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    *faults, summary = done.stdout.splitlines() or [done.stderr]
    assert not faults, "\n".join(faults)
    counts = json.loads(summary)
    killed = [count for name, count in counts.items() if name.startswith(("train", "eval", "grid"))]
    assert (sum(killed), len(killed)) == (100, 4)
