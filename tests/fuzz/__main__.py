# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Bad inputs in numbers: ``python -m tests.fuzz --cases 3000``; one alone with ``--only 17``."""

import argparse
import collections
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

KINDS = ("text_files", "yaml_files", "flags", "run_folders", "python_calls")


def main() -> int:
    """Run the cases, a line for each that fails; 1 where one did."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0, help="begin with this case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, help="this kind alone")
    parser.add_argument("--only", type=int, help="this case alone, and keep its folder")
    options = parser.parse_args()
    started = time.monotonic()
    numbers = range(options.first, options.cases) if options.only is None else [options.only]
    # A home, a cache and temporary files of their own; one thread, which a fork keeps.
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name).resolve()
        _set_environment(folder)
        counts: collections.Counter[str] = collections.Counter()
        for number, kind, words, said, seconds, status in _run(folder, numbers, options):
            counts[f"status {status}"] += 1
            counts["slowest"] = max(counts["slowest"], round(seconds))
            if said:
                counts["faults"] += 1
                row = {"case": number, "kind": kind, "what": words, "faults": said}
                print(json.dumps(row, ensure_ascii=True), flush=True)
        if options.only is not None:
            shutil.copytree(
                folder,
                kept := tempfile.mkdtemp(dir=folder.parent),
                symlinks=True,
                dirs_exist_ok=True,
            )
            print(f"kept in {kept}")
    total = time.monotonic() - started
    print(json.dumps({"cases": len(numbers), "seconds": round(total), **counts}))
    return 1 if counts["faults"] else 0


def _set_environment(folder: Path) -> None:
    (folder / "temporary").mkdir()
    tempfile.tempdir = str(folder / "temporary")
    os.environ.update(
        PYRO_TEXTVAE_CACHE=str(folder / "cache"),
        PYRO_TEXTVAE_CONFIG=str(folder / "config"),
        MPLCONFIGDIR=str(folder / "matplotlib"),
        MPLBACKEND="agg",
        TORCHINDUCTOR_CACHE_DIR=str(folder / "cache"),
        OMP_NUM_THREADS="1",
        TOKENIZERS_PARALLELISM="false",
    )


def _run(
    folder: Path, numbers: range | list[int], options: argparse.Namespace
) -> Iterator[tuple[int, str, str, list[str], float, int]]:
    # After the environment is set, which libraries read when they are imported.
    from tests.fuzz import flags, python_calls, run_folders, text_files, yaml_files
    from tests.fuzz.fork import run_in_fork
    from tests.fuzz.judge import faults, snapshot
    from tests.fuzz.scene import Scene
    from tests.fuzz.templates import call_command, write_templates

    kinds = {
        "text_files": text_files,
        "yaml_files": yaml_files,
        "flags": flags,
        "run_folders": run_folders,
        "python_calls": python_calls,
    }
    templates = folder / "templates"
    write_templates(templates, folder)
    for number in numbers:
        kind = options.kind or KINDS[number % len(KINDS)]
        place = folder / f"case{number}"
        scene = Scene(place, templates, f"{options.seed} {kind} {number}")
        case = kinds[kind].make(scene)
        os.environ["HOME"] = str(place / "home")
        body: Callable[[], int | None] = case.call or (
            lambda arguments=case.arguments: call_command(arguments)
        )
        own = [folder / name for name in ("cache", "config", "matplotlib", "temporary")]
        writable = [scene.work, *own]
        notes = folder / "notes"
        shutil.rmtree(notes, ignore_errors=True)
        notes.mkdir()
        before = snapshot(scene)
        outcome = run_in_fork(body, scene.work, writable, notes)
        said = faults(scene, case, outcome, before, snapshot(scene))
        said = [re.sub(re.escape(str(place)), "PLACE", each) for each in said]
        yield number, kind, case.words, said, outcome.seconds, outcome.status
        if options.only is not None:
            print(f"{case.words}\n{case.arguments}\n{outcome}")
        else:
            shutil.rmtree(place)


if __name__ == "__main__":
    raise SystemExit(main())
