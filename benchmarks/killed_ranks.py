# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A run of two processes, one of which is killed again and again, against one left in peace.

``torchrun --max-restarts`` goes on from the last checkpoint each time. The lines of metrics and the
weights must be those of the run that nobody killed, to the byte. Linux only::

    python benchmarks/killed_ranks.py --moments 20 --out runs/killed
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
SETTINGS = [
    *("--data", "grammar", "--num-sentences", "300", "--device", "cpu", "--epochs", "24"),
    *("--embedding-dim", "8", "--hidden-dim", "9", "--latent-dim", "3", "--batch-size", "16"),
    *("--constraint", "mutual_information", "--log-every", "5", "--checkpoint-every", "4"),
    *("--options", '{"weight": 0.5}'),
]


def command(out: Path, *, restarts: int) -> list[str]:
    """Two processes that train into a folder."""
    launch = [*TORCHRUN, "--nproc_per_node", "2", "--max-restarts", str(restarts)]
    return [*launch, "-m", "pyro_textvae", "train", *SETTINGS, "--out", str(out)]


def ranks_of(launcher: int) -> list[int]:
    """The processes that a launcher has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == launcher and state not in "ZX":
            found.append(int(folder.name))
    return sorted(found)


def kill_at_random(
    launcher: subprocess.Popen[bytes], state: Path, moments: int, rng: random.Random
) -> int:
    """Kill one rank at a time, most of them while they train; return how many were killed."""
    killed, before = 0, []
    while launcher.poll() is None and killed < moments:
        ranks = ranks_of(launcher.pid)
        if len(ranks) < 2 or ranks == before:
            time.sleep(0.02)
            continue
        if rng.random() < 0.8:
            started = state.stat().st_mtime_ns if state.exists() else 0
            while launcher.poll() is None and (
                not state.exists() or state.stat().st_mtime_ns == started
            ):
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.6))
        else:
            time.sleep(rng.uniform(0.0, 8.0))
        try:
            os.kill(rng.choice(ranks), signal.SIGKILL)
            killed += 1
        except ProcessLookupError:
            pass
        before = ranks
    return killed


def main() -> None:
    """Compare the two runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    peace, killed = given.out / "peace", given.out / "killed"
    subprocess.run(command(peace, restarts=0), check=True, env=environment, **quiet)
    said = given.out / "killed.log"
    with open(said, "w", encoding="utf-8") as log:
        launcher = subprocess.Popen(
            command(killed, restarts=given.moments + 5), env=environment, stdout=log, stderr=log
        )
        count = kill_at_random(
            launcher, killed / "state" / "last.pt", given.moments, random.Random(given.seed)
        )
        status = launcher.wait()
    same = {
        name: (peace / name).read_bytes() == (killed / name).read_bytes()
        for name in ("metrics.jsonl", "model.safetensors")
    }
    print(f"{count} kills; torchrun ended with {status}; the same bytes: {same}; {said}")
    sys.exit(status or not all(same.values()))


if __name__ == "__main__":
    main()
