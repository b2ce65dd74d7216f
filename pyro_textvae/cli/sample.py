# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae sample``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run
from pyro_textvae.errors import UserError


@dataclass
class SampleOptions(DecodingOptions):
    """Draw sentences from a run: latents from the prior, then words.

    Args:
        size: number of sentences.

    """

    size: int = 10
    method: Literal["ancestral", "greedy"] = "ancestral"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise UserError(f"size must be at least 1, got {self.size}")


def main(arguments: Sequence[str]) -> None:
    """Print one sentence a line."""
    options = parse_with_run(SampleOptions, "sample", arguments)
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
