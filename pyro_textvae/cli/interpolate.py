# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae interpolate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run
from pyro_textvae.config.checks import at_least, setting
from pyro_textvae.contract import TOKENS
from pyro_textvae.errors import UserError


@dataclass
class InterpolateOptions(DecodingOptions):
    """Walk between the latents of two sentences; on a sphere, along the shorter arc.

    Args:
        start: the first sentence; by default one of the test split.
        end: the last sentence; by default one of the test split.
        steps: sentences to print, both ends counted.

    """

    start: str | None = None
    end: str | None = None
    steps: int = setting(7, at_least(2))


def main(arguments: Sequence[str]) -> None:
    """Print the sentences along the line."""
    options = parse_with_run(InterpolateOptions, "interpolate", arguments)
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
        {TOKENS: tokens},
        steps=options.steps,
        method=options.method,
        seed=options.seed,
        unknown=options.unknown,
    )
    print(f"from  {tokenizer.decode(tokens[0].tolist())}")
    for row in rows.tolist():
        print(f"      {tokenizer.decode(row)}")
    print(f"to    {tokenizer.decode(tokens[1].tolist())}")
