# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Values that are somebody's idea of a number, a name, a path or nothing."""

from random import Random
from typing import Any

import yaml

from pyro_textvae.config.yaml_loader import SettingsLoader

TEXTS = [
    *("", " ", "null", "~", "~nosuchuser/x", "true", "False", "None", "yes", "-1", "0", "1", "2"),
    *("1.5", "-0.0", "nan", ".nan", "inf", "-.inf", "1e400", "1e-400", "0x10", "1_000", "1:30"),
    *("[]", "{}", "[1, 2]", "[[[[]]]]", '{"a": 1}', '{"a": {"b": null}}', "{", "[", "]", '"', "'"),
    *(
        "#1",
        "-",
        "---",
        "--- {}",
        "...",
        "&a",
        "*a",
        "<<",
        "? a",
        "!!int x",
        "!!float [1]",
        "|",
        ">",
    ),
    *("!!python/object/apply:os.system ['true']", "!!binary AAAA", "!!set {a}", "2001-01-01", "@x"),
    *(
        "é",
        "e\u0301",
        "\u202e\u202d",
        "\U0001f600",
        "\u2028",
        "a\nb",
        "\t",
        "\r",
        "\x1b[31m",
        "\x7f",
    ),
    *("\udcff", "\udc80x", "a" * 300, "x" * 5000, "9" * 30, "9" * 5000, "１２", "١٢", "²"),
    *(
        "/",
        ".",
        "..",
        "/dev/null",
        "/dev/zero",
        "/dev/fd/0",
        "/proc/self/mem",
        "nowhere",
        "nowhere/x",
    ),
    *("nowhere/x.json", "out.json", "toy", "toy/", "toy/train.txt", "run", "run/config.yaml"),
    *(
        "run/model.safetensors",
        "../outside/letter.txt",
        "../outside/folder",
        "a\\b",
        "C:\\x",
        "file://x",
    ),
    *("http://localhost/x", "os:system", "subprocess:Popen", "builtins:exec", "torch.nn:Linear"),
    *(
        "pyro.infer:Trace_ELBO",
        "pyro.infer:RenyiELBO",
        "nothing.py:Class",
        ":",
        "a:",
        ":b",
        "a:b:c",
    ),
    *("=", ",", ";", "%s", "%(x)s", "{0}", "$HOME", "`id`", "$(id)", "*", "?", "lstm", "gaussian"),
    *(
        "sentence_vae",
        "SentenceVAE",
        "beta_elbo",
        "iwae",
        "grammar",
        "stdlib",
        "nltk:",
        "nltk:nope",
    ),
    *(
        "train",
        "valid",
        "test",
        "best",
        "adam",
        "word",
        "bpe",
        "character",
        "cpu",
        "cuda",
        "cuda:0",
    ),
    *("meta", "mps", "cpu:7", "xla", "aggregate", "greedy", "ancestral", "refined", "constant"),
]


def is_much_work(text: str) -> bool:
    """Whether a text is a number so large that so many epochs or draws are right, and slow."""
    try:
        value = yaml.load(text, SettingsLoader)
    except (yaml.YAMLError, ValueError):
        return False
    return isinstance(value, int | float) and value > 4


def odd_text(random: Random) -> str:
    """One of the texts, or characters at random."""
    if random.random() < 0.8:
        return random.choice(TEXTS)
    letters = "abz019 \t-_=:.,/\\'\"{}[]()#&*!|>%@~`é\u0301\u200b\U0001f600\udc80"
    return "".join(random.choice(letters) for _ in range(random.randint(1, 12)))


def odd_value(random: Random, depth: int = 0) -> Any:
    """A value as JSON or YAML hold them."""
    kinds: list[Any] = [
        *(None, True, False, 0, 1, -1, 2, 3, 2**31, 2**63, -(2**64), 10**40, 0.5, -0.5, 1e300),
        *(float("nan"), float("inf"), [], {}, "", [None], {"": None}, [[]], ["a", 1], {"a": [1]}),
    ]
    choice = random.random()
    if choice < 0.3:
        return odd_text(random)
    if choice < 0.4 and depth < 3:
        return [odd_value(random, depth + 1) for _ in range(random.randint(0, 3))]
    if choice < 0.5 and depth < 3:
        return {odd_text(random): odd_value(random, depth + 1) for _ in range(random.randint(0, 3))}
    return random.choice(kinds)
