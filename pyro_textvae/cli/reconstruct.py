# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae reconstruct``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pyro_textvae.cli.evaluate import demand_run, with_run
from pyro_textvae.cli.parsing import check_seed, parse
from pyro_textvae.errors import UserError


@dataclass
class ReconstructOptions:
    """Decode sentences again from their latents.

    Args:
        run: folder made by train.
        text: a sentence of your own; by default sentences of the split.
        split: train, valid or test.
        size: number of sentences of the split.
        method: greedy decodes the posterior mean, ancestral draws latents and words.
        seed: of the sentences taken and of the draws.
        unknown: whether <unk> may be generated; false reads better, but is not the model.
        device: auto, cpu, cuda, or cuda:N.

    """

    run: str = ""
    text: str | None = None
    split: str = "test"
    size: int = 5
    method: Literal["greedy", "ancestral"] = "greedy"
    seed: int = 0
    unknown: bool = True
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError(f"size must be at least 1, got {self.size}")
        if self.split not in ("train", "valid", "test"):
            raise UserError(f"split must be train, valid or test, got {self.split!r}")
        check_seed(self.seed)


def main(arguments: Sequence[str]) -> None:
    """Print each sentence and its reconstruction."""
    options, _ = parse(ReconstructOptions, "reconstruct", with_run(arguments))
    demand_run(options.run, "reconstruct")
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
        {"tokens": tokens},
        method=options.method,
        seed=options.seed,
        unknown=options.unknown,
    )
    for sentence, row in zip(tokens.tolist(), rows.tolist(), strict=True):
        print(f"from  {tokenizer.decode(sentence)}")
        print(f"to    {tokenizer.decode(row)}\n")
