# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Bad inputs of every kind: refused in one line or done, and nothing else is touched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="forks and limits memory as Linux does"
)


def run_cases(number, *flags):
    """Run so many cases in a process of its own; what was wrong, and the summary."""
    command = [sys.executable, "-m", "tests.fuzz", "--cases", str(number), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    *faults, summary = done.stdout.splitlines() or [""]
    assert summary.startswith("{"), done.stderr
    return faults, json.loads(summary)


def test_a_sample():
    faults, counts = run_cases(25)
    assert not faults, "\n".join(faults)
    assert counts["cases"] == 25
    assert counts["status 2"] > 9
    assert counts["status 0"] > 3


@pytest.mark.slow
def test_three_thousand():
    faults, counts = run_cases(3000)
    assert not faults, "\n".join(faults)
    assert counts["cases"] == 3000
