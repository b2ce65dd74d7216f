# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae sample``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pyro_textvae.cli.evaluate import demand_run, with_run
from pyro_textvae.cli.parsing import check_seed, parse
from pyro_textvae.errors import UserError


@dataclass
class SampleOptions:
    """Draw sentences from a run: latents from the prior, then words.

    Args:
        run: folder made by train.
        size: number of sentences.
        method: ancestral draws every word, greedy takes the likeliest.
        seed: of the draws.
        unknown: whether <unk> may be generated; false reads better, but is not the model.
        device: auto, cpu, cuda, or cuda:N.

    """

    run: str = ""
    size: int = 10
    method: Literal["ancestral", "greedy"] = "ancestral"
    seed: int = 0
    unknown: bool = True
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError(f"size must be at least 1, got {self.size}")
        check_seed(self.seed)


def main(arguments: Sequence[str]) -> None:
    """Print one sentence a line."""
    options, _ = parse(SampleOptions, "sample", with_run(arguments))
    demand_run(options.run, "sample")
    from pyro_textvae import generation, runs

    model, _, tokenizer = runs.load_run(options.run, device=options.device)
    rows = generation.sample(
        model,
        options.size,
        method=options.method,
        seed=options.seed,
        unknown=options.unknown,
    )
    for row in rows.tolist():
        print(tokenizer.decode(row))
