# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae reconstruct``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run
from pyro_textvae.config.evaluate import check_split
from pyro_textvae.contract import TOKENS
from pyro_textvae.errors import UserError


@dataclass
class ReconstructOptions(DecodingOptions):
    """Decode sentences again from their latents.

    Args:
        text: a sentence of your own; by default sentences of the split.
        split: train, valid or test.
        size: number of sentences of the split.

    """

    text: str | None = None
    split: str = "test"
    size: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise UserError(f"size must be at least 1, got {self.size}")
        check_split(self.split)


def main(arguments: Sequence[str]) -> None:
    """Print each sentence and its reconstruction."""
    options = parse_with_run(ReconstructOptions, "reconstruct", arguments)
    from pyro_textvae import generation, runs
    from pyro_textvae.cli.sentences import encode_text, pick_sentences
    from pyro_textvae.data import pad

    model, guide, tokenizer = runs.load_run(options.run, device=options.device)
    if options.text is not None:
        sentences = [encode_text(tokenizer, options.text)]
    else:
        sentences = pick_sentences(options.run, options.split, options.size, options.seed)
    tokens = pad(sentences)
    rows = generation.reconstruct(
        model,
        guide,
        {TOKENS: tokens},
        method=options.method,
        seed=options.seed,
        unknown=options.unknown,
    )
    for sentence, row in zip(tokens.tolist(), rows.tolist(), strict=True):
        print(f"from  {tokenizer.decode(sentence)}")
        print(f"to    {tokenizer.decode(row)}\n")
