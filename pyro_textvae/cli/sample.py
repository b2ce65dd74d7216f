# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae sample``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run
from pyro_textvae.config.checks import at_least, setting

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class SampleOptions(DecodingOptions):
    """Draw sentences from a run: latents, then words.

    Args:
        size: number of sentences.
        latents_from: prior, or aggregate, a mixture of Gaussians fitted to the latents of the
            training split; --from for short.
        num_components: of that mixture.

    """

    size: int = setting(10, at_least(1))
    method: Literal["ancestral", "greedy"] = "ancestral"
    latents_from: Literal["prior", "aggregate"] = "prior"
    num_components: int = setting(10, at_least(1))


def main(arguments: Sequence[str]) -> None:
    """Print one sentence a line; on standard error, how well a fitted mixture fits."""
    # A field cannot be called from, which is a word of Python's.
    given = [
        f"--latents-from{text[6:]}" if text.partition("=")[0] == "--from" else text
        for text in arguments
    ]
    options = parse_with_run(SampleOptions, "sample", given)
    from pyro_textvae import generation, runs

    model, guide, tokenizer = runs.load_run(options.run, device=options.device)
    latents = _fitted(model, guide, options) if options.latents_from == "aggregate" else None
    rows = generation.sample(
        model,
        options.size,
        method=options.method,
        seed=options.seed,
        unknown=options.unknown,
        latents=latents,
    )
    for row in rows.tolist():
        print(tokenizer.decode(row))


def _fitted(model: nn.Module, guide: nn.Module, options: SampleOptions) -> dict[str, Tensor]:
    from pyro_textvae import generation, runs
    from pyro_textvae.run_folder import RunFolder

    corpus = runs.load_run_corpus(RunFolder(options.run))
    density = generation.fit_ex_post_density(
        model,
        guide,
        corpus.batches("train", shuffle=False),
        corpus.batches("valid", shuffle=False),
        num_components=options.num_components,
        seed=options.seed,
    )
    print(density.describe(), file=sys.stderr)
    return density.latents(model, options.size, seed=options.seed)
