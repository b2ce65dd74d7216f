# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Run folders in which a file is cut, swapped, flipped, linked, or made to execute something."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.fuzz.flags import EXPECTS
from tests.fuzz.odd_values import odd_value
from tests.fuzz.scene import Case, Scene

FILES = [
    *("config.json", "config.json", "config.yaml", "model.safetensors", "tokenizer.json"),
    *("metrics.jsonl", "timing.jsonl", "environment.json", "evaluation.json"),
    *("evaluation.sentences.jsonl", "state/last.pt", "state/progress.json"),
]
READERS: dict[str, list[str]] = {
    "evaluate": ["evaluate", "run", "--num-samples", "10", "--report", "false"],
    "sample": ["sample", "run", "--size", "2"],
    "aggregate": ["sample", "run", "--size", "2", "--from", "aggregate", "--num-components", "1"],
    "reconstruct": ["reconstruct", "run", "--size", "2"],
    "interpolate": ["interpolate", "run", "--steps", "2"],
    "compare": ["compare", "run", "other", "--num-resamples", "1000"],
    "report": ["report", "run"],
    "resume": ["train", "--resume", "run", "--epochs", "2"],
    "overwrite": ["train", "--config", "run/config.yaml", "--out", "run", "--overwrite"],
}
_WRITES = {
    "evaluate": ("run/evaluation*",),
    "report": ("run/report", "run/report/*"),
    "resume": ("run/*",),
    "overwrite": ("run/*",),
}


def make(scene: Scene) -> Case:
    """A run with one or two faults, and a command on it."""
    random = scene.random
    folder = scene.copy("run")
    names = [*READERS]
    reader = random.choices(names, weights=[1 if name == "report" else 5 for name in names])[0]
    if reader == "compare":
        scene.copy("other")
    hostile = scene.odds(0.25)
    faults = [_hostile] if hostile else random.choices(FAULTS, k=random.choice([1, 1, 1, 2]))
    words = [fault(scene, folder) for fault in faults]
    return Case(
        f"{reader}: {'; '.join(words)}",
        READERS[reader],
        expects=EXPECTS.get(READERS[reader][0], ""),
        may_write=_WRITES.get(reader, ()),
    )


def _file(scene: Scene, folder: Path) -> Path:
    return folder / scene.random.choice(FILES)


def _cut(scene: Scene, folder: Path) -> str:
    path = _file(scene, folder)
    if not path.is_file():
        return "nothing"
    content = path.read_bytes()
    length = scene.random.choice([0, 1, len(content) - 1, scene.random.randrange(len(content) + 1)])
    path.write_bytes(content[: max(0, length)])
    return f"{path.name} cut to {length} of {len(content)}"


def _flip(scene: Scene, folder: Path) -> str:
    path = _file(scene, folder)
    if not path.is_file() or not path.stat().st_size:
        return "nothing"
    content = bytearray(path.read_bytes())
    places = [scene.random.randrange(len(content)) for _ in range(scene.random.choice([1, 1, 20]))]
    for place in places:
        content[place] ^= 1 << scene.random.randrange(8)
    path.write_bytes(content)
    return f"{path.name} with flipped bits at {places[:3]}"


def _noise(scene: Scene, folder: Path) -> str:
    path = _file(scene, folder)
    _make_way(path)
    path.write_bytes(scene.random.randbytes(scene.random.choice([0, 8, 3000])))
    return f"{path.name} of random bytes"


def _swap(scene: Scene, folder: Path) -> str:
    one, other = _file(scene, folder), _file(scene, folder)
    if one == other or not (one.is_file() and other.is_file()):
        return "nothing"
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    return f"{one.name} and {other.name} swapped"


def _of_another_run(scene: Scene, folder: Path) -> str:
    path = _file(scene, folder)
    run = scene.templates / scene.random.choice(["other", "language_model"])
    _make_way(path)
    shutil.copyfile(run / path.relative_to(folder), path)
    return f"{path.name} of {run.name}"


def _other_thing(scene: Scene, folder: Path) -> str:
    path = _file(scene, folder)
    if scene.odds(0.15):
        path = path.parent if path.parent != folder else folder / "state"
    _make_way(path)
    kind = scene.random.choice(
        ["folder", "full folder", "gone", "circle", "nothing", "pipe", "letter"]
    )
    if kind.endswith("folder"):
        path.mkdir()
        if kind.startswith("full"):
            (path / "x").write_text("x")
    elif kind == "circle":
        path.symlink_to(path)
    elif kind == "nothing":
        path.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "letter":
        path.symlink_to(scene.outside / scene.random.choice(["letter.txt", "folder"]))
    return f"{path.name} is {kind}"


def _make_way(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _other_json(scene: Scene, folder: Path) -> str:
    """A value somewhere in one of the files is another."""
    path = folder / scene.random.choice([each for each in FILES if ".json" in each])
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        content: Any = rows if path.suffix == ".jsonl" else None
    except (OSError, ValueError):
        content = None
    try:
        content = content or json.loads(path.read_text())
    except (OSError, ValueError):
        return "nothing"
    words = _change_somewhere(scene, content)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content), errors="replace")
    else:
        path.write_text(json.dumps(content), errors="replace")
    return f"{path.name} with {words}"


def _change_somewhere(scene: Scene, content: Any) -> str:
    random, way = scene.random, []
    while True:
        key = (
            random.choice([*content])
            if isinstance(content, dict)
            else random.randrange(len(content))
        )
        way.append(key)
        inside = content[key]
        if not (isinstance(inside, dict | list) and inside) or random.random() < 0.2:
            break
        content = inside
    if random.random() < 0.2:
        del content[key]
        return f"{way} left out"
    content[key] = odd_value(random)
    return f"{way} {content[key]!a}"[:150]


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def _hostile(scene: Scene, folder: Path) -> str:
    """A run that would execute something: by a name, a file, a pickle, a path."""
    return scene.random.choice([_hostile_spec, _hostile_file, _hostile_pickle, _hostile_path])(
        scene, folder
    )


_SPECS = ["subprocess:Popen", "os:system", "builtins:exec", "pathlib:Path.touch", "antigravity:x"]
_SETTINGS = [
    "objective",
    "constraint",
    "procedure",
    "kl_schedule",
    "data",
    "tokenizer",
    "model",
    "prior",
]


def _hostile_spec(scene: Scene, folder: Path) -> str:
    random, config = scene.random, _config(folder)
    spec = random.choice([*_SPECS, "mine.py:Mine", "../mine.py:Mine", "/proc/self/environ.py:X"])
    scene.write("mine.py", _code(scene))
    scene.write("run/mine.py", _code(scene))
    config["settings"]["options"] = {"args": ["touch", str(scene.canary)], "shell": False}
    if scene.odds(0.5):
        where = random.choice([*config["specs"]])
        config["specs"][where] = spec
    elif scene.odds(0.2):
        where = "tokenizer_kind"
        config[where] = spec
    else:
        where = random.choice(_SETTINGS)
        config["settings"][where] = spec
        for name in ("config.yaml",):
            (folder / name).write_text(json.dumps(config["settings"]))
    (folder / "config.json").write_text(json.dumps(config))
    return f"{where} is {spec}"


def _hostile_file(scene: Scene, folder: Path) -> str:
    config = _config(folder)
    part = scene.random.choice([*config["specs"], "tokenizer"])
    name = scene.random.choice(["mine.py", "__init__.py", "conftest.py", "sitecustomize.py"])
    scene.write(f"run/source/{part}/{name}", _code(scene))
    spec = f"source/{part}/{name}:Mine"
    if part == "tokenizer":
        config["tokenizer_kind"] = spec
    else:
        config["specs"][part] = spec
    (folder / "config.json").write_text(json.dumps(config))
    return f"{part} of {spec}"


def _hostile_pickle(scene: Scene, folder: Path) -> str:
    path = folder / scene.random.choice(["state/last.pt", "model.safetensors", "tokenizer.json"])
    touch = _Touch(scene.canary)
    if scene.odds(0.5):
        torch.save({"modules": touch, "progress": touch}, path)
    else:
        path.write_bytes(pickle.dumps(touch))
    return f"a pickle in {path.name}"


def _hostile_path(scene: Scene, folder: Path) -> str:
    """A path out of the folder, or a link where the run writes."""
    random = scene.random
    kind = random.choice(["report", "evaluation.json", "state", "source", "lock", "partial"])
    outside = scene.outside / "folder"
    if kind in ("report", "state", "source"):
        _make_way(folder / kind)
        (folder / kind).symlink_to(outside)
        return f"{kind} leads out of the run"
    name = {"lock": "writer.lock", "partial": "evaluation.partial.00000"}.get(kind, kind)
    _make_way(folder / name)
    (folder / name).symlink_to(scene.outside / "letter.txt")
    return f"{name} leads out of the run"


def _config(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())


def _code(scene: Scene) -> str:
    return (
        f"import pathlib\npathlib.Path({str(scene.canary)!r}).touch()\n"
        "from pyro_textvae.models import SentenceVAE\n\n\nclass Mine(SentenceVAE):\n    pass\n"
    )


FAULTS: list[Callable[[Scene, Path], str]] = [
    *(_cut, _flip, _noise, _swap, _of_another_run, _other_thing, _other_json, _other_json),
]
