# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae interpolate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pyro_textvae.cli.evaluate import demand_run, with_run
from pyro_textvae.cli.parsing import check_seed, parse
from pyro_textvae.errors import UserError


@dataclass
class InterpolateOptions:
    """Walk in a straight line between the latents of two sentences.

    Args:
        run: folder made by train.
        start: the first sentence; by default one of the test split.
        end: the last sentence; by default one of the test split.
        steps: sentences to print, both ends counted.
        method: greedy or ancestral.
        seed: of the sentences taken and of the draws.
        unknown: whether <unk> may be generated; false reads better, but is not the model.
        device: auto, cpu, cuda, or cuda:N.

    """

    run: str = ""
    start: str | None = None
    end: str | None = None
    steps: int = 7
    method: Literal["greedy", "ancestral"] = "greedy"
    seed: int = 0
    unknown: bool = True
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise UserError(f"steps must be at least 2, got {self.steps}")
        check_seed(self.seed)


def main(arguments: Sequence[str]) -> None:
    """Print the sentences along the line."""
    options, _ = parse(InterpolateOptions, "interpolate", with_run(arguments))
    demand_run(options.run, "interpolate")
    from pyro_textvae import generation, runs
    from pyro_textvae.cli.sentences import encode_text, pick_sentences
    from pyro_textvae.data import pad

    model, guide, tokenizer = runs.load_run(options.run, device=options.device)
    ends = []
    if options.start is None or options.end is None:
        ends = pick_sentences(options.run, "test", 2, options.seed)
        if len(ends) < 2:
            raise UserError(
                f"the test split of {options.run} has one sentence and a line needs two ends: "
                "give --start and --end"
            )
    if options.start is not None:
        ends[:1] = [encode_text(tokenizer, options.start)]
    if options.end is not None:
        ends[1:] = [encode_text(tokenizer, options.end)]
    tokens = pad(ends)
    rows = generation.interpolate(
        model,
        guide,
        {"tokens": tokens},
        steps=options.steps,
        method=options.method,
        seed=options.seed,
        unknown=options.unknown,
    )
    print(f"from  {tokenizer.decode(tokens[0].tolist())}")
    for row in rows.tolist():
        print(f"      {tokenizer.decode(row)}")
    print(f"to    {tokenizer.decode(tokens[1].tolist())}")
