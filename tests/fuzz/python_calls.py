# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Public functions called from Python with an argument that is wrong: numbers, names, paths, data.

Programs, proposals and settings are objects of classes, and what is of none of them is an error of
Python's.
"""

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pyro_textvae as tv
from pyro_textvae import generation, runs
from pyro_textvae.config import EvaluationConfig, TrainConfig
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.grid.run import run_grid
from pyro_textvae.report.run_report import write_report
from tests.fuzz.flags import AMOUNTS
from tests.fuzz.odd_values import TEXTS, is_much_work, odd_value
from tests.fuzz.scene import Case, Scene


def make(scene: Scene) -> Case:
    """A call of a function of the package, in which something is wrong."""
    torch.set_num_threads(1)
    words, call, may_write = scene.random.choice(CALLS)(scene)
    return Case(words[:300], call=lambda: _status(call), may_write=may_write)


def _status(call: Callable[[], Any]) -> int:
    """0 where the call returns, 2 where it says in one line what is wrong."""
    torch.set_num_threads(1)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            call()
    except (ValueError, OSError) as error:
        text = str(error)
        if not text or isinstance(error, UnicodeError):
            raise
        print("pyro-textvae: error:", " ".join(text.split()), file=sys.stderr)
        return 2
    return 0


Made = tuple[str, Callable[[], Any], tuple[str, ...]]


def _odd_argument(scene: Scene, name: str = "") -> Any:
    """A value as Python has it: JSON's, arrays, paths, functions, bytes, objects."""
    random = scene.random
    if scene.odds(0.3):
        return random.choice(
            [
                *(
                    b"bytes",
                    Path("nowhere"),
                    np.int64(1),
                    np.float32("nan"),
                    np.arange(3),
                    object(),
                ),
                *(
                    torch.tensor(1),
                    torch.zeros(2, 3),
                    {1, 2},
                    range(3),
                    print,
                    int,
                    ...,
                    1j,
                    (),
                    ("a",),
                ),
                *(torch.device("cpu"), np.str_("word"), "a\0b", "\ud800", bytearray(3), iter([1])),
            ]
        )
    value = odd_value(random)
    shown = str(value) if isinstance(value, str | int | float) else ""
    return 2 if name in AMOUNTS and is_much_work(shown) else value


def _words(function: Any, given: dict[str, Any]) -> str:
    return f"{function.__name__}({', '.join(f'{name}={value!a}' for name, value in given.items())})"


def _settings(scene: Scene) -> Made:
    cls = scene.random.choice([TrainConfig, EvaluationConfig])
    names = scene.random.sample([field.name for field in fields(cls)], 2)
    given = {name: _odd_argument(scene) for name in names[: scene.random.choice([1, 2])]}
    return _words(cls, given), lambda: cls(**given), ()


def _corpus(scene: Scene) -> Made:
    scene.copy("toy")
    names = [
        *("source", "tokenizer", "max_length", "min_count", "vocab_size", "truncate", "seed"),
        *("text_column", "source_column", "label_column", "label_names", "file_split"),
        *("num_sentences", "cache_dir"),
    ]
    name = scene.random.choice(names)
    given = {"source": "toy", "cache_dir": "cache", name: _odd_argument(scene, name)}

    def call() -> None:
        corpus = tv.load_corpus(**given)
        list(corpus.batches("train", batch_size=4))

    # Any path that can be made is a place for a cache.
    return _words(tv.load_corpus, given), call, ("*",)


def _batches(scene: Scene) -> Made:
    scene.copy("toy")
    names = ["split", "batch_size", "max_tokens", "shuffle", "seed", "epoch"]
    name = scene.random.choice(names)
    given = {"split": "test", name: _odd_argument(scene)}

    def call() -> None:
        list(tv.load_corpus("toy").batches(**given))

    return _words(tv.load_corpus, given), call, ()


def _tokenizer(scene: Scene) -> Made:
    run = scene.copy("run")
    name = scene.random.choice(["encode", "encode_batch", "decode", "save", "load"])
    value = _odd_argument(scene)
    if scene.odds(0.3):
        value = scene.random.choice(
            [[2**40], [-1], [[1]], ["4"], [None], [1.5], TEXTS, ["a", None]]
        )

    def call() -> None:
        getattr(tv.load_run(run)[2], name)(value)

    return f"tokenizer.{name}({value!a})", call, ("*",) if name == "save" else ()


def _pair(scene: Scene) -> Made:
    """The likelihood, the information or sentences of a pair, with an argument that is odd."""
    run, random = scene.copy("run"), scene.random
    names = {
        log_likelihood: ["batches", "num_samples", "seed", "quasi_random"]
        + ["target_standard_error", "most_rounds", "max_tokens", "partial"],
        information: ["batches", "seed", "num_draws", "costly_pairs"],
        generation.sample: ["condition", "method", "seed", "unknown", "latents"],
        generation.reconstruct: ["batch", "method", "seed", "unknown"],
        generation.interpolate: ["ends", "steps", "method", "seed", "condition"],
        generation.encode: ["batch", "mean", "seed"],
    }
    function: Any = random.choice([*names])
    name = random.choice(names[function])
    is_batch = name in ("batches", "batch", "ends", "condition")
    value = _odd_batch(scene) if is_batch and scene.odds(0.7) else _odd_argument(scene, name)
    if name in (
        "num_samples",
        "steps",
        "num_draws",
        "costly_pairs",
        "condition",
        "batch",
        "latents",
    ):
        shown = str(value) if isinstance(value, int | float) else ""
        value = 2 if is_much_work(shown) else value

    def call() -> None:
        model, guide, _ = tv.load_run(run)
        batch = {"tokens": torch.tensor([[4, 5, 2, 0], [6, 7, 8, 2]])}
        usual: dict[Any, dict[str, Any]] = {
            log_likelihood: {"model": model, "guide": guide, "batches": [batch], "num_samples": 2},
            information: {"model": model, "guide": guide, "batches": [batch]},
            generation.sample: {"model": model, "condition": 2},
            generation.reconstruct: {"model": model, "guide": guide, "batch": batch},
            generation.interpolate: {"model": model, "guide": guide, "ends": batch, "steps": 2},
            generation.encode: {"guide": guide, "batch": batch},
        }
        given = value
        if name == "batches" and isinstance(value, dict) and scene.odds(0.7):
            given = [value]
        function(**{**usual[function], name: given})

    # A file of partial results may be anywhere.
    return f"{function.__name__} with {name}={value!a}"[:200], call, ("*",)


def _odd_batch(scene: Scene) -> Any:
    tokens = torch.tensor([[4, 5, 2, 0], [6, 7, 8, 2]])
    return scene.random.choice(
        [
            *(
                tokens,
                [tokens],
                {},
                [],
                {"tokens": None},
                {"tokens": tokens.tolist()},
                {"x": tokens},
            ),
            *({"tokens": tokens.float()}, {"tokens": tokens[0]}, {"tokens": tokens[:, :0]}),
            # No id beyond the vocabulary: what that is, the networks of the program alone know.
            {"tokens": tokens[:0]},
            *({"tokens": torch.zeros(2, 4, dtype=torch.long)}, {"tokens": tokens.bool()}),
            *({"tokens": tokens.numpy()}, {"tokens": tokens.int()}, {"tokens": tokens[None]}),
            *({"tokens": tokens, "extra": tokens}, {"tokens": tokens, "source": tokens}),
            *(
                {"tokens": torch.full((2, 9), 5)},
                {"tokens": torch.full((1, 1), 2)},
                [tokens, tokens],
            ),
            *({"tokens": tokens.repeat(1, 9)}, {"tokens": tokens.to("meta")}, {1: tokens}, "text"),
            *({"tokens": tokens, "labels": tokens[0]}, {"tokens": torch.tensor(3)}, [{}], [None]),
        ]
    )


def _runs(scene: Scene) -> Made:
    """What is done with whole runs."""
    run, other = scene.copy("run"), scene.copy("other")
    scene.copy("toy")
    random = scene.random
    odd = _odd_argument(scene)
    grid = {"out": "grid", "settings": {"data": "toy", "epochs": 1}, "gradient_draws": 0}
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("load_run", lambda: tv.load_run(odd)),
        ("load_run device", lambda: tv.load_run(run, device=odd)),
        ("resume", lambda: runs.resume(odd)),
        ("resume epochs", lambda: runs.resume(run, epochs=2 if _is_large(odd) else odd)),
        ("resume device", lambda: runs.resume(run, epochs=2, device=odd)),
        ("train out", lambda: runs.train(_tiny(), odd)),
        ("evaluate", lambda: runs.evaluate(odd, EvaluationConfig(num_samples=10))),
        ("compare_runs", lambda: runs.compare_runs(odd)),
        ("compare_runs of", lambda: runs.compare_runs([run, odd])),
        (
            "compare_runs seed",
            lambda: runs.compare_runs([run, other], seed=odd, num_resamples=1000),
        ),
        ("resamples", lambda: runs.compare_runs([run, other], num_resamples=_few(odd))),
        ("run_grid", lambda: run_grid(odd)),
        ("run_grid jobs", lambda: run_grid(grid, jobs=1 if type(odd) is int and odd > 1 else odd)),
        ("run_grid settings", lambda: run_grid({**grid, "settings": odd})),
        ("run_grid axes", lambda: run_grid({**grid, "axes": odd})),
        ("write_report", lambda: write_report(odd)),
        ("write_report of", lambda: write_report([run, odd])),
        ("build_method", lambda: generation.build_method(odd)),
        ("method options", lambda: generation.build_method("greedy", odd)),
    ]
    name, call = random.choice(calls)
    return f"{name} {odd!a}", call, ("*",)


def _tiny() -> TrainConfig:
    return TrainConfig(data="toy", embedding_dim=4, hidden_dim=5, latent_dim=2, epochs=1)


def _is_large(value: Any) -> bool:
    return isinstance(value, int | float) and is_much_work(str(value))


def _few(value: Any) -> Any:
    return 1000 if _is_large(value) else value


CALLS: list[Callable[[Scene], Made]] = [
    *(_settings, _settings, _corpus, _batches, _tokenizer, _pair, _pair, _pair, _runs, _runs),
]
