# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Flags with values of a wrong type or range, unknown, twice, cut short, of every command."""

from collections.abc import Callable
from dataclasses import fields
from glob import escape
from pathlib import Path
from typing import get_type_hints

from pyro_textvae.cli.compare import CompareOptions
from pyro_textvae.cli.compress import CompressOptions
from pyro_textvae.cli.decompress import DecompressOptions
from pyro_textvae.cli.evaluate import EvaluateOptions
from pyro_textvae.cli.explore import ExploreOptions
from pyro_textvae.cli.interpolate import InterpolateOptions
from pyro_textvae.cli.main import COMMANDS
from pyro_textvae.cli.prepare import PrepareOptions
from pyro_textvae.cli.reconstruct import ReconstructOptions
from pyro_textvae.cli.refit import RefitOptions
from pyro_textvae.cli.report import ReportOptions
from pyro_textvae.cli.sample import SampleOptions
from pyro_textvae.cli.train import TrainOptions
from tests.fuzz.odd_values import is_much_work, odd_text
from tests.fuzz.scene import SIZES, Case, Scene

OPTIONS: dict[str, type] = {
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
    "sample": SampleOptions,
    "reconstruct": ReconstructOptions,
    "interpolate": InterpolateOptions,
    "compare": CompareOptions,
    "report": ReportOptions,
    "refit": RefitOptions,
    "compress": CompressOptions,
    "decompress": DecompressOptions,
    "explore": ExploreOptions,
    "prepare": PrepareOptions,
}
AMOUNTS = {
    *("epochs", "num_samples", "size", "steps", "num_resamples", "num_particles", "most_rounds"),
    *("num_components", "num_sentences", "kl_cycles", "alternate", "num_train_sentences"),
}
"""Settings that take time in proportion: any large value of them is right."""
EXPECTS = {
    "train": "best validation bound|finished after|stopped early",
    "evaluate": "written to",
    "sample": ".",
    "reconstruct": "(?m)^from .*\n *to ",
    "interpolate": "(?m)^from ",
    "compare": "nll",
    "report": "written to",
    "refit": "what moved|information_before",
    "compress": 'written to|"archive"',
    "decompress": "written to",
    "explore": "written to",
    "prepare": "documents",
}
MAY_WRITE = {
    "train": ("new", "new/*"),
    "evaluate": ("run/evaluation*", "run/report", "run/report/*"),
    "report": ("run/report", "run/report/*"),
    "refit": ("new", "new/*"),
    "compress": ("mine.txt.tvae",),
    "decompress": ("mine.txt",),
    "explore": ("map.html",),
    "prepare": ("new", "new/*"),
}


def make(scene: Scene) -> Case:
    """One command with one or two flags that are wrong."""
    random = scene.random
    # A report that succeeds takes seconds, and so do a prior and a map.
    command = random.choices([*OPTIONS], weights=[8, 4, 4, 3, 3, 3, 1, 1, 2, 2, 1, 3])[0]
    positional, values = base(scene, command)
    change = random.choices([*CHANGES], weights=[12, 2, 1, 1, 2, 1])[0]
    words, tail = change(scene, command, positional, values)
    arguments = [command, *positional, *_spelled(scene, values), *tail]
    if scene.odds(0.02):
        words, arguments[0] = "the command", odd_text(random)
        return Case(words, arguments, must_refuse=arguments[0] not in COMMANDS)
    return Case(
        f"{command}: {words}",
        arguments,
        expects=EXPECTS[command],
        may_write=may_write(command, values),
    )


def base(scene: Scene, command: str) -> tuple[list[str], dict[str, str]]:
    """Arguments of a command that succeeds, on what it makes in the folder."""
    run: list[str] = []
    if command == "train":
        scene.copy("toy")
        pairs = zip(SIZES[::2], SIZES[1::2], strict=True)
        sizes = {name[2:].replace("-", "_"): value for name, value in pairs}
        return [], {"data": "toy", "out": "new", **sizes}
    if command == "prepare":
        scene.copy("toy")
        return [], {"data": "toy", "out": "new", "layout": "ptb"}
    scene.copy("run")
    run = ["run"]
    if command == "compare":
        scene.copy("other")
        run.append("other")
    if command in ("evaluate", "reconstruct"):
        scene.copy("toy")
    if command == "compress":
        scene.write("mine.txt", (scene.templates / "toy" / "test.txt").read_bytes())
        run.append("mine.txt")
    if command == "decompress":
        scene.write("mine.txt.tvae", (scene.templates / "mine.txt.tvae").read_bytes())
        run.append("mine.txt.tvae")
    small = {
        "evaluate": {"num_samples": "10", "report": "false"},
        "sample": {"size": "2"},
        "reconstruct": {"size": "2"},
        "interpolate": {"steps": "2"},
        "compare": {"num_resamples": "1000"},
        "refit": {
            "out": "new",
            "options": '{"num_components": 1}',
            "num_sentences": "8",
            "num_samples": "10",
        },
        # Without a file to write it serves a page for ever.
        "explore": {"export": "map.html", "num_samples": "2", "clusters": "2"},
    }
    return run, small.get(command, {})


def may_write(command: str, values: dict[str, str]) -> tuple[str, ...]:
    """Patterns of what the command writes when it is given these values."""
    patterns = MAY_WRITE.get(command, ())
    # "~" is the user's home, which each case has its own of.
    out = values.get("out", "new")
    if command in ("train", "refit"):
        # "file://x" is the folder x in one that is called "file:".
        place = Path(out.rstrip("/"))
        folders = (escape(str(each)) for each in (place, *place.parents))
        return (*patterns, "runs", "runs/*", escape(out), *folders, f"{escape(str(place))}/*")
    if command == "prepare":
        return (*patterns, escape(out), f"{escape(out.rstrip('/'))}/*")
    if command == "explore":
        return (*patterns, escape(values.get("export", "map.html")))
    if "out" in values and out:
        stem = escape(str(Path(out).with_suffix("")) if Path(out).name else out)
        return (*patterns, f"{stem}*")
    return patterns


def _spelled(scene: Scene, values: dict[str, str]) -> list[str]:
    arguments = []
    for name, value in values.items():
        flag = "--" + (name.replace("_", "-") if scene.odds(0.7) else name)
        arguments += [f"{flag}={value}"] if scene.odds(0.5) else [flag, value]
    return arguments


Made = tuple[str, list[str]]


def _odd_values(scene: Scene, command: str, positional: list[str], values: dict[str, str]) -> Made:
    random, types = scene.random, get_type_hints(OPTIONS[command])
    names = [field.name for field in fields(OPTIONS[command])]
    for name in {"compile", "export"} & set(names):
        names.remove(name)
    words = []
    for name in random.sample(names, random.choice([1, 1, 1, 2])):
        value = odd_text(random)
        if is_much_work(value) and name in AMOUNTS:
            value = random.choice(["0", "-1", "1.5", "x"])
        if types[name] == dict[str, object] or name in ("options", "proposal_options"):
            value = _odd_options(scene)
        if name == "check" and value in ("true", "yes", "1"):
            value = "2"  # Annealing takes long.
        if name in ("run", "runs", "grid", "file") and positional:
            del positional[name == "file" :]
        values[name] = value
        words.append(f"--{name} {value[:60]!a}")
    return " ".join(words), []


def _odd_options(scene: Scene) -> str:
    names = [
        "num_layers",
        "z_in",
        "tie",
        "factor",
        "steps",
        "weight",
        "args",
        "k",
        "decoder_num_layers",
    ]
    name, value = scene.random.choice([*names, odd_text(scene.random)]), odd_text(scene.random)
    return scene.random.choice([f'{{"{name}": {value}}}', f"{{{name}: '{value}'}}", value])


def _unknown(scene: Scene, command: str, positional: list[str], values: dict[str, str]) -> Made:
    names = [field.name for field in fields(OPTIONS[command])]
    letters = list(scene.random.choice(names))
    letters.insert(scene.random.randrange(1, len(letters)), scene.random.choice("axé-_.="))
    return f"--{''.join(letters)}", [f"--{''.join(letters)}", odd_text(scene.random)]


def _twice(scene: Scene, command: str, positional: list[str], values: dict[str, str]) -> Made:
    name = scene.random.choice([*values, "seed", "device"])
    value = values.get(name, "0")
    return f"--{name} twice", [f"--{name}={value}", f"--{name.replace('_', '-')}", value]


def _cut_short(scene: Scene, command: str, positional: list[str], values: dict[str, str]) -> Made:
    name = scene.random.choice([*get_type_hints(OPTIONS[command]), "config", ""])
    values.pop(name, None)
    return f"--{name} without a value", [f"--{name}"]


def _positional(scene: Scene, command: str, positional: list[str], values: dict[str, str]) -> Made:
    value = odd_text(scene.random)
    if scene.odds(0.5):
        return f"{value[:60]!a} at the end", [value]
    positional[:] = [value, *positional[1:]]
    return f"{value[:60]!a} at the start", []


def _dotted(scene: Scene, command: str, positional: list[str], values: dict[str, str]) -> Made:
    name = scene.random.choice(["options", "proposal_options", "epochs", "run", "config", ""])
    key, value = (
        scene.random.choice(["num_layers", "steps", "a.b", "", "é"]),
        odd_text(scene.random),
    )
    return f"--{name}.{key} {value[:60]!a}", [f"--{name}.{key}", value]


CHANGES: list[Callable[[Scene, str, list[str], dict[str, str]], Made]] = [
    _odd_values,
    _unknown,
    _twice,
    _cut_short,
    _positional,
    _dotted,
]
