# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae neighbours``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pyro_textvae.cli.run_options import RunOptions, parse_with_run_and_texts
from pyro_textvae.config.checks import at_least, setting
from pyro_textvae.config.evaluate import Split


@dataclass
class NeighboursOptions(RunOptions):
    """The sentences of a split that RUN TEXT is nearest to in the latent space.

    Args:
        text_file: a file with a sentence a line, in the place of arguments; - for standard input.
        source: what the sentences are conditioned on, in a model that takes a source.
        label: of the sentences, in a model that takes labels; without it the guide infers it.
        labels_from: a file with such a label a line, one for each text.
        by: mean, the distance of posterior means, or kl, the symmetrised KL of posteriors in nats.
        split: train, valid or test.
        size: how many to print.
        format: text, or jsonl, an object a line.

    """

    text_file: str | None = None
    source: str | None = None
    label: str | None = None
    labels_from: str | None = None
    by: Literal["mean", "kl"] = "mean"
    split: Split = "train"
    size: int = setting(5, at_least(1))
    format: Literal["text", "jsonl"] = "text"


def main(arguments: Sequence[str]) -> None:
    """Print the nearest sentences, each with how far it is."""
    options, texts = parse_with_run_and_texts(NeighboursOptions, "neighbours", arguments)
    from pyro_textvae import runs
    from pyro_textvae.cli.given_texts import (
        batch_with,
        fields_beside,
        given_texts,
        known_row,
        rows_of,
    )
    from pyro_textvae.cli.progress import shown
    from pyro_textvae.cli.sentences import decode_row
    from pyro_textvae.generation.latent_space import neighbours
    from pyro_textvae.run_folder import RunFolder

    texts = given_texts("neighbours", texts, options.text_file)
    model, guide, tokenizer = runs.load_run(
        options.run, device=options.device, trust_code=options.trust_code
    )
    fields = fields_beside(model, guide, tokenizer, options, size=len(texts))
    rows = [known_row(tokenizer, text) for text in texts]
    corpus = runs.load_run_corpus(RunFolder(options.run), trust_code=options.trust_code)
    for index, (text, row) in enumerate(zip(texts, rows, strict=True)):
        nearest = neighbours(
            guide,
            batch_with([row], rows_of(fields, index, index + 1)),
            shown(corpus.batches(options.split, shuffle=False), "neighbours"),
            by=options.by,
            size=options.size,
            seed=options.seed,
        )
        if options.format == "text":
            print(f"from      {text}")
        for place, distance, ids in zip(
            nearest.indices.tolist(),
            nearest.distances.tolist(),
            nearest.tokens.tolist(),
            strict=True,
        ):
            written = decode_row(tokenizer, ids)
            if options.format == "jsonl":
                record = {"input": text, "text": written, "distance": distance, "place": place}
                print(json.dumps(record, ensure_ascii=False))
            else:
                print(f"{distance:8.3f}  {written}")
            sys.stdout.flush()
