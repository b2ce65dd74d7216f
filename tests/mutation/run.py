# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Mutation score of the package: a sample of mutants, and the share of them that a test sees.

``python tests/mutation/run.py --record`` first runs the default suite under ``coverage``.
"""

import argparse
import ast
import json
import random
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

from coverage_map import ROOT, SOURCES, record
from operators import mutants
from selection import Selection
from trial import KILLED, make_copy, try_all

COMPUTING = (
    *("distributions", "nn", "priors", "infer", "evaluation", "generation", "training", "models"),
    *("guides", "data"),
)
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def folder_of(file):
    """The room of a file; "root" for a loose one."""
    parts = file.removeprefix("pyro_textvae/").split("/")
    return parts[0] if len(parts) > 1 else "root"


def all_mutants():
    """Every mutant of the package that compiles, by file and line."""
    by_line = {}
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            file = str(path.relative_to(ROOT))
            if path.name == "__init__.py" or file.startswith(
                ("pyro_textvae/models/", "pyro_textvae/guides/")
            ):
                continue
            for mutant in mutants(file, path.read_text()):
                by_line.setdefault((file, mutant.line), []).append(mutant)
    return by_line


def compiles(mutant):
    """Whether a mutant is Python."""
    text = (ROOT / mutant.file).read_bytes()
    try:
        ast.parse(text[: mutant.start] + mutant.after.encode() + text[mutant.stop :])
    except SyntaxError:
        return False
    return True


def sample(seed, size):
    """Mutants of ``size`` random lines, one of each: no line counts more for its constants."""
    chance = random.Random(seed)
    by_line = all_mutants()
    lines = chance.sample(sorted(by_line), len(by_line))
    drawn = []
    for line in lines:
        mutant = chance.choice(by_line[line])
        if compiles(mutant):
            drawn.append(mutant)
        if len(drawn) == size:
            break
    return sorted(drawn, key=lambda mutant: (mutant.file, mutant.start))


def equivalents():
    """Reasons by file, text of the line, and change."""
    listed = tomllib.loads(EQUIVALENT.read_text())["mutant"]
    return {(each["file"], each["code"], each["change"]): each["reason"] for each in listed}


def code_of(mutant):
    """The line that a mutant stands in."""
    return (ROOT / mutant.file).read_text().splitlines()[mutant.line - 1].strip()


def _result(mutant, code, verdict, by):
    return {
        **{"file": mutant.file, "line": mutant.line, "code": code, "change": mutant.change},
        **{"folder": folder_of(mutant.file), "operator": mutant.operator},
        **{"verdict": verdict, "by": by},
    }


def table(results):
    """Killed of counted mutants by folder, by group, and in all."""
    counts = {}
    for each in results:
        group = "computing" if each["folder"] in COMPUTING else "the rest"
        for name in (each["folder"], f"= {group}", "= all"):
            counts.setdefault(name, Counter())[each["verdict"]] += 1
    lines = ["folder            killed   of   score   equivalent"]
    for name in sorted(counts, key=lambda name: (name.startswith("="), name == "= all", name)):
        count = counts[name]
        counted = count.total() - count["equivalent"]
        share = 100 * count[KILLED] / counted if counted else 0.0
        lines.append(
            f"{name:16} {count[KILLED]:7} {counted:4}  {share:5.1f} %  {count['equivalent']:10}"
        )
    return "\n".join(lines)


def main():
    """Try a sample and print its survivors and its score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="run the suite for its map first")
    parser.add_argument("--maps", type=Path, nargs="*", default=[ROOT / "build/mutation/map.json"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=240)
    parser.add_argument("--seconds", type=float, default=60.0, help="of tests for each mutant")
    parser.add_argument("--work", type=Path, default=ROOT / "build/mutation/copy")
    parser.add_argument("--out", type=Path, default=ROOT / "build/mutation/results.json")
    parser.add_argument("--folders", nargs="*", help="of the sample, these folders alone")
    parser.add_argument("--again", type=Path, help="results: what they killed is not run again")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.record and record(["tests"], options.maps[0]) != 0:
        return "the suite fails without a mutant: correct it first"
    drawn = sample(options.seed, options.size)
    before = {}
    if options.folders:
        drawn = [mutant for mutant in drawn if folder_of(mutant.file) in options.folders]
    if options.again is not None:
        for each in json.loads(options.again.read_text()):
            before[each["file"], each["code"], each["change"]] = each
    selection, reasons = Selection(options.maps), equivalents()
    results, to_try = [], []
    for mutant in drawn:
        code = code_of(mutant)
        key = (mutant.file, code, mutant.change)
        if key in reasons or before.get(key, {}).get("verdict") == KILLED:
            results.append(_result(mutant, code, "equivalent" if key in reasons else KILLED, ""))
        else:
            to_try.append(mutant)
    codes = {mutant: code_of(mutant) for mutant in to_try}
    started = time.monotonic()

    def report(mutant, verdict, said):
        failed = [line for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        by = failed or said.strip().splitlines() or [""]
        results.append(_result(mutant, codes[mutant], verdict, by[0] if verdict == KILLED else ""))
        print(
            f"{time.monotonic() - started:6.0f} s  {len(results)}/{len(drawn)}  {verdict:9} "
            f"{mutant.file}:{mutant.line} [{mutant.operator}] {mutant.change[:160]}"
            f"  {' '.join(said.split())[:100] if verdict != KILLED else by[0][:100]!r}",
            flush=True,
        )
        options.out.write_text(json.dumps(results, indent=1))

    work = options.work.resolve()
    make_copy(ROOT, work)
    tests_of = {mutant: selection.tests(mutant, options.seconds) for mutant in to_try}
    try_all(to_try, work, tests_of, report, 10 + 2 * options.seconds)
    options.out.write_text(json.dumps(results, indent=1))
    print(f"\nseed {options.seed}, {len(drawn)} mutants\n{table(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
