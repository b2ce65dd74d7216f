# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Files of settings and grids in which something is wrong: values, structure, YAML itself."""

from dataclasses import fields
from typing import Any

import yaml

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from tests.fuzz.flags import AMOUNTS, EXPECTS, OPTIONS, base
from tests.fuzz.odd_values import is_much_work, odd_text, odd_value
from tests.fuzz.scene import Case, Scene

_TINY = {"epochs": 1, "embedding_dim": 4, "hidden_dim": 5, "latent_dim": 2}


def make(scene: Scene) -> Case:
    """A file of settings of a command, or a grid, with something odd in it."""
    if scene.odds(0.4):
        return _grid(scene)
    random = scene.random
    command = random.choice(["train", "train", "evaluate", "sample", "reconstruct", "interpolate"])
    positional, flags = base(scene, command)
    settings: dict[Any, Any] = {name: yaml.safe_load(value) for name, value in flags.items()}
    small = {name: flags[name] for name in (*_TINY, "num_samples") if name in flags}
    words = _change_values(scene, settings, [field.name for field in fields(OPTIONS[command])])
    text, more = _write(scene, settings)
    scene.write("settings.yaml", text)
    may_write = ["new", "new/*", "run/evaluation*", "run/report", "run/report/*", "runs", "runs/*"]
    out = settings.get("out")
    if isinstance(out, str) and out:
        may_write += [out.removesuffix(".json") + "*"]
    arguments = [command, *positional, "--config", "settings.yaml"]
    # Sizes that the file does not give are small, even where it is cut.
    arguments += [f"--{n}={v}" for n, v in small.items() if n not in text.decode(errors="ignore")]
    return Case(
        f"{command}: {words}; {more}",
        arguments,
        expects=EXPECTS[command],
        may_write=tuple(may_write),
    )


def _grid(scene: Scene) -> Case:
    scene.copy("toy")
    # Text comes last: where the file is cut, training stays short.
    settings: dict[Any, Any] = {**_TINY, "data": "toy"}
    grid: dict[Any, Any] = {
        "out": "grid",
        "settings": settings,
        "axes": {"objective": {"elbo": {}, "half": {"kl_weight": 0.5}}},
        "seeds": [0],
        "evaluation": {"num_samples": 10},
        "gradient_draws": 0,
    }
    random = scene.random
    place = random.randrange(5)
    if place == 0:
        words = _change_values(scene, settings, [field.name for field in fields(TrainConfig)])
    elif place == 1:
        names = [field.name for field in fields(EvaluationConfig) if field.name != "check"]
        words = _change_values(scene, grid["evaluation"], names)
    elif place == 2:
        words = _change_values(scene, grid, [*grid])
    elif place == 3:
        name = random.choice([field.name for field in fields(TrainConfig)])
        values = [_bounded(name, odd_value(random)) for _ in range(random.choice([1, 2]))]
        grid["axes"] = {name: values}
        words = f"axis {name} of {values}"[:150]
    else:
        member = {odd_text(random): odd_value(random)}
        grid["axes"] = random.choice([{"a": member}, member, [member], {"a": {"b": member}}])
        words = f"axes {grid['axes']}"[:150]
    text, more = _write(scene, grid)
    scene.write("grid.yaml", text)
    may_write = ["grid", "grid/*"]
    if isinstance(grid.get("out"), str) and grid["out"]:
        may_write += [grid["out"], f"{grid['out'].rstrip('/')}/*"]
    arguments = ["compare", "grid.yaml", "--num-resamples", "1000"]
    return Case(f"grid: {words}; {more}", arguments, expects="nll", may_write=tuple(may_write))


def _change_values(scene: Scene, settings: dict[Any, Any], names: list[str]) -> str:
    """One or two settings with odd values, or an unknown one."""
    random = scene.random
    words = []
    for _ in range(random.choice([0, 1, 1, 2])):
        name: Any = random.choice([each for each in names if each not in ("compile", "check")])
        if scene.odds(0.15):
            name = random.choice([1, None, True, 2.5, odd_text(random), name.replace("_", "-")])
        settings[name] = _bounded(name, odd_value(random))
        words.append(f"{name!a} {settings[name]!a}"[:100])
    return ", ".join(words) or "as it should be"


def _bounded(name: Any, value: Any) -> Any:
    """Not so much work that it is right, and slow."""
    shown = str(value) if isinstance(value, str | int | float) else ""
    return 2 if name in (*AMOUNTS, "seeds", "gradient_draws") and is_much_work(shown) else value


_ODD_LINES = [
    *("&a a: *a", "x: &x [*x]", "<<: *nowhere", "<<: 3", "<<: [1, {a: 2}]", "<<: {epochs: 2}"),
    *("? [a, b]\n: c", "? {a: b}\n: c", "!!python/object/apply:os.system ['touch executed']: 1"),
    *("model: !!python/object/apply:os.system ['touch ../executed']", "options: !!binary AAAA"),
    *("options: !!set {a, b}", "options: !!omap [a: 1]", "seed: !!int 'x'", "seed: !!float []"),
    *("seed: !!timestamp x", "model: !nothing x", "seed: !!null x", "seed: !!bool maybe"),
    *(
        "epochs: 2001-01-01",
        "epochs: 1:30",
        "epochs: 0b1",
        "epochs: 0o17",
        "epochs: 1__",
        "epochs: =",
    ),
    *("epochs: " + "9" * 5000, "kl_weight: " + "9" * 5000, "options: {a: " + "9" * 5000 + "}"),
    *("epochs: 1", "epochs: 2\nepochs: 3", "data: |\n  toy", "data: >-\n  toy", 'data: "a\\0b"'),
    *(
        'data: "\\ud800"',
        'out: "\\ud800"',
        'out: "new\\0x"',
        'data: "\\x85"',
        "data: 'a",
        'data: "a',
    ),
    *(
        "data: [a",
        "data: {a",
        "- a",
        "a",
        "\t",
        "\ta: 1",
        "a: b: c",
        "%YAML 9.9",
        "%TAG ! x",
        "---",
    ),
    *(
        "...",
        "--- a",
        "--- {a: 1}\n--- {b: 2}",
        "\0",
        "\ufeff",
        "\u2028",
        "a:\n  - b\n c: d",
        "@a: 1",
    ),
    *("options: " + "[" * 3000 + "]" * 3000, "options: " + "{a: " * 300 + "1" + "}" * 300, "`a: 1"),
    *("options: " + "[" * 90 + "]" * 90, "options: {a: 2001-01-01}", "options: {a: !!binary AAAA}"),
    *(
        "options: {1: 2}",
        "options: {null: 1}",
        "options: {a: .nan}",
        "options: {num_layers: 1e400}",
    ),
    *("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "null", "~: ~", "true: false", ": 1", "'': 1"),
]
_BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


def _write(scene: Scene, content: dict[Any, Any]) -> tuple[bytes, str]:
    """The content as YAML in which a line may be odd, or all of it spoilt."""
    random = scene.random
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=scene.odds(0.7))
    data = text.encode("utf-8", "surrogatepass")
    choice = random.random()
    if choice < 0.4:
        return data, "as YAML"
    if choice < 0.8:
        line = random.choice([*_ODD_LINES, _BOMB, _BOMB + "options: {a: *a11}"])
        if line.partition(":")[0] in content and scene.odds(0.5):
            data = yaml.safe_dump(
                {k: v for k, v in content.items() if k != line.partition(":")[0]}
            ).encode("utf-8", "surrogatepass")
        lines = data.splitlines(keepends=True)
        tops = [place for place, each in enumerate(lines) if not each.startswith((b" ", b"-"))]
        place = random.choice([*tops, len(lines)])
        lines.insert(place, line.encode("utf-8", "surrogatepass") + b"\n")
        return b"".join(lines), f"with {line[:60]!a}"
    return random.choice(
        [
            (b"", "empty"),
            (b"# nothing\n", "a comment alone"),
            (text.encode("utf-16", "replace"), "UTF-16"),
            (text.encode("latin-1", "replace") + b"\xe9: 1\n", "latin-1"),
            (b"\xef\xbb\xbf" + data, "a byte order mark"),
            (data[: random.randrange(1, max(2, len(data)))], "cut"),
            (random.randbytes(200), "random bytes"),
            (data.replace(b": ", b":\t"), "tabs"),
            (data.replace(b"\n", b"\r"), "CR line ends"),
            (_flip(scene, data), "a flipped bit"),
            (b"- " + data.replace(b"\n", b"\n  "), "a list"),
            (data + data, "twice"),
            (b"a: " * 5000, "colons"),
        ]
    )


def _flip(scene: Scene, data: bytes) -> bytes:
    place = scene.random.randrange(len(data))
    return (
        data[:place] + bytes([data[place] ^ (1 << scene.random.randrange(8))]) + data[place + 1 :]
    )
