# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Commands killed at random moments: ``python -m tests.fuzz.kills --kills 100``.

Each command is started anew after every kill, until it has been killed several times, and then left
to finish. What it leaves must be what it leaves when nobody kills it.
"""

import argparse
import collections
import json
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import yaml

SETTINGS = {
    "data": "grammar",
    "num_sentences": 200,
    "embedding_dim": 6,
    "hidden_dim": 7,
    "latent_dim": 3,
    "epochs": 3,
    "batch_size": 8,
    "kl_epochs": 2.0,
    "log_every": 5,
    "checkpoint_every": 11,
    "device": "cpu",
}
GRID = {
    "out": "grid",
    "settings": {**SETTINGS, "epochs": 1},
    "axes": {"objective": {"elbo": {}, "half": {"kl_weight": 0.5}}},
    "seeds": [0],
    "evaluation": {"num_samples": 10},
    "gradient_draws": 4,
}
TIMINGS = ("seconds", "tokens_per_second", "sec", "tok/s")
"""What of a table is measured by the clock."""
_LEFT_BEHIND = re.compile(r"unfinished-|writer\.lock$|\.tmp|\.partial\.|traceback")
_LONGEST = 600.0


class Task:
    """A command, how it is begun, and how it is gone on with.

    :param folder: where it runs; ``fresh`` fills it.
    """

    def __init__(self, name: str, fresh: Callable[[Path], None], kills: Sequence[int]) -> None:
        self.name, self.fresh, self.kills = name, fresh, kills

    def arguments(self, folder: Path) -> list[str]:
        """What to run next; of training, as its own messages say."""
        if self.name == "evaluate":
            draws = ["--num-samples", "50", "--batch-size", "1"]
            return ["evaluate", "run", *draws, "--report", "false"]
        if self.name.startswith("grid"):
            jobs = ["--jobs", "2"] if self.name == "grid of two jobs" else []
            return ["compare", "grid.yaml", "--num-resamples", "1000", *jobs]
        if (folder / "run" / "config.json").is_file():
            return ["train", "--resume", "run"]
        again = ["--overwrite"] if (folder / "run" / "config.yaml").is_file() else []
        return ["train", "--config", "settings.yaml", "--out", "run", *again]


def start(arguments: Sequence[str], folder: Path) -> int:
    """The command in a fork, in a group of processes of its own; the fork's number."""
    from tests.fuzz.templates import call_command

    pid = os.fork()
    if pid:
        with suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        number = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(number, stream)
        status = call_command(arguments)
    finally:
        os._exit(status)


def ended(pid: int, seconds: float) -> bool:
    """Wait for a process at most so long; whether it has ended."""
    handle = os.pidfd_open(pid)
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def is_alone(group: int) -> bool:
    """Whether the other processes of a group end with their parent.

    One that works does so at once, one that is still importing when it has imported.
    """
    for _ in range(6000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    return False


def run_whole(task: Task, folder: Path) -> tuple[float, list[str]]:
    """Let the command finish; seconds that it took, and what was wrong."""
    started = time.monotonic()
    pid = start(task.arguments(folder), folder)
    if not ended(pid, _LONGEST):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if status:
        return 0.0, [f"status {status}: {(folder / 'output.txt').read_text()[-500:]}"]
    return time.monotonic() - started, []


def contents(folder: Path) -> dict[str, Any]:
    """What is left of each file; without what is measured by the clock."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        # The checkpoint has the sizes of timing.jsonl in it; metrics and weights are its numbers.
        if not path.is_file() or path.name in ("timing.jsonl", "output.txt", "last.pt"):
            continue
        content: Any = path.read_bytes()
        if name == "grid/table.json":
            content = _without_timings(json.loads(content))
        elif name in ("grid/table.md", "grid/table.csv"):
            content = _columns(content.decode(), "|" if name.endswith("md") else ",")
        elif path.name == "progress.json":
            content = {k: v for k, v in json.loads(content).items() if k != "checkpoint_bytes"}
        files[name] = content
    return files


def _without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_timings(each)
            for name, each in value.items()
            if not name.startswith(TIMINGS)
        }
    return [_without_timings(each) for each in value] if isinstance(value, list) else value


def _columns(text: str, mark: str) -> list[list[str]]:
    """The cells of a table, without the columns of times."""
    lines = [[cell.strip() for cell in line.split(mark)] for line in text.splitlines()]
    header = next(line for line in lines if any(cell.startswith(TIMINGS) for cell in line))
    timed = [place for place, cell in enumerate(header) if cell.startswith(TIMINGS)]
    return [
        [cell for place, cell in enumerate(line) if len(line) < len(header) or place not in timed]
        for line in lines
        # The rule below the header is as wide as its cells.
        if set("".join(line)) - set("-: ")
    ]


def chain(
    task: Task, random: Random, place: Path, number: int, seconds: float, expected: dict[str, Any]
) -> tuple[int, list[str]]:
    """One command killed ``number`` times and left to finish: kills, and what was wrong."""
    # In a folder of the same name, which results hold.
    folder = place / "here"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    task.fresh(folder)
    kills, said = 0, []
    for _ in range(number):
        pid = start(task.arguments(folder), folder)
        is_over = ended(pid, random.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        kills += status == signal.SIGKILL
        if not is_alone(pid):
            said.append("children lived on")
        if is_over:
            break
    said += run_whole(task, folder)[1]
    found = contents(folder)
    different = [n for n in {*expected, *found} if expected.get(n) != found.get(n)]
    if different:
        said.append(f"not what it is undisturbed: {sorted(different)}")
    left = [path.name for path in folder.rglob("*") if _LEFT_BEHIND.search(path.name)]
    if left:
        said.append(f"left behind {left}")
    return kills, said


def tasks(kills: int, run: Path) -> list[Task]:
    """The commands, with the kills of each."""

    def settings(folder: Path) -> None:
        (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))

    def copy_run(folder: Path) -> None:
        shutil.copytree(run, folder / "run")

    def grid(folder: Path) -> None:
        (folder / "grid.yaml").write_text(yaml.safe_dump(GRID))

    of_jobs = max(1, kills // 10)
    share = (kills - of_jobs) // 3
    return [
        Task("train", settings, [kills - of_jobs - 2 * share]),
        Task("evaluate", copy_run, [share]),
        Task("grid", grid, [share]),
        Task("grid of two jobs", grid, [of_jobs]),
    ]


def main() -> int:
    """Kill and compare, a line for each chain that ends in something else; 1 where one did."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--task", help="this command alone, such as train")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    random = Random(options.seed)
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        place = Path(name).resolve()
        for task, kills, said in _all(random, place, options.kills, options.task):
            counts[task] += kills
            counts["chains"] += 1
            print(task, counts[task], file=sys.stderr, flush=True)
            if said:
                counts["faults"] += 1
                print(json.dumps({"task": task, "kills": kills, "faults": said}), flush=True)
    total = round(time.monotonic() - started)
    print(json.dumps({"kills": options.kills, "seconds": total, **counts}))
    return 1 if counts["faults"] else 0


def _all(
    random: Random, place: Path, kills: int, only: str | None
) -> Iterator[tuple[str, int, list[str]]]:
    os.environ.update(
        PYRO_TEXTVAE_CACHE=str(place / "cache"),
        PYRO_TEXTVAE_CONFIG=str(place / "config"),
        OMP_NUM_THREADS="1",
        TOKENIZERS_PARALLELISM="false",
    )
    # After the environment is set, which libraries read when they are imported.
    import tests.fuzz.templates  # noqa: F401

    run = place / "run"
    for task in tasks(kills, run):
        folder = place / "here"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        task.fresh(folder)
        seconds, said = run_whole(task, folder)
        expected = contents(folder)
        if task.name == "train":
            shutil.copytree(folder / "run", run)
        left, tries = task.kills[0] if only in (None, task.name) else 0, 0
        while left > 0 and not said and tries < 4 * kills:
            tries += 1
            number = min(left, random.choice([1, 1, 2, 3, 5]))
            done, said_here = chain(task, random, place, number, seconds, expected)
            left -= done
            yield task.name, done, said_here
        if said or left:
            yield task.name, 0, [*said, f"{left} kills came too late"]


if __name__ == "__main__":
    raise SystemExit(main())
