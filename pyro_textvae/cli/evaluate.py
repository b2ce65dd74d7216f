# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae evaluate``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyro_textvae.cli.run_options import RunOptions, check_split, parse_with_run
from pyro_textvae.errors import UserError


@dataclass
class EvaluateOptions(RunOptions):
    """Log-likelihood, bound, KL and information of a run on a split, into evaluation.json.

    Args:
        split: train, valid or test.
        data: other text to score with the run's tokenizer; by default the run's own corpus.
        text_column: column of a TSV or JSONL file that holds the sentence.
        num_samples: draws of the latents for each sentence.
        batch_size: sentences in a batch.
        max_tokens: tokens decoded at once; bounds the memory.
        out: file to write; by default evaluation.json in the run.

    """

    split: str = "test"
    data: str | None = None
    text_column: str | None = None
    num_samples: int = 100
    batch_size: int = 32
    max_tokens: int = 16384
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_samples", "batch_size", "max_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_split(self.split)


def main(arguments: Sequence[str]) -> None:
    """Evaluate a run and print its table."""
    options = parse_with_run(EvaluateOptions, "evaluate", arguments)
    from pathlib import Path

    from pyro_textvae.report import evaluation_table
    from pyro_textvae.run_evaluation import evaluate
    from pyro_textvae.training import RunFolder
    from pyro_textvae.training.files import write_json

    folder = RunFolder(options.run)
    out = Path(options.out) if options.out else folder.evaluation
    if out.resolve() in [path.resolve() for path in folder.of_training]:
        raise UserError(f"--out {out} is a file of the run itself: choose another name")
    if options.out and not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to write {out.name} into: make it first")
    if out.is_dir():
        raise UserError(f"--out {out} is a folder: give the name of a file")
    result = evaluate(
        options.run,
        split=options.split,
        data=options.data,
        text_column=options.text_column,
        num_samples=options.num_samples,
        batch_size=options.batch_size,
        max_tokens=options.max_tokens,
        seed=options.seed,
        device=options.device,
    )
    write_json(out, {name: _plain(value) for name, value in result.items()})
    print(evaluation_table(result))
    print(f"written to {out}")


def _plain(value: Any) -> Any:
    """JSON has no infinities and no NaN: null says that there is no such number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
