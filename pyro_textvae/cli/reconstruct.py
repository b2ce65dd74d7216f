# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae reconstruct``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run
from pyro_textvae.config.checks import at_least, setting
from pyro_textvae.config.evaluate import Split
from pyro_textvae.contract import TOKENS


@dataclass
class ReconstructOptions(DecodingOptions):
    """Decode sentences again from their latents.

    Args:
        text: a sentence of your own; by default sentences of the split.
        split: train, valid or test.
        size: number of sentences of the split.

    """

    text: str | None = None
    split: Split = "test"
    size: int = setting(5, at_least(1))


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
