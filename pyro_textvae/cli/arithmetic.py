# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae arithmetic``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run_and_texts
from pyro_textvae.errors import UserError


@dataclass
class ArithmeticOptions(DecodingOptions):
    """Decode RUN A B C at a - b + c: what A has and B has not, added to C.

    Args:
        text_file: a file with three sentences a line, tabs between; - for standard input.
        source: what all of them are conditioned on, in a model that takes a source.
        label: of all of them, in a model that takes labels; without it the guide infers each, and
            what is decoded has that of C.
        labels_from: a file with such a label a line, one for each three.

    """

    text_file: str | None = None
    source: str | None = None
    label: str | None = None
    labels_from: str | None = None


def main(arguments: Sequence[str]) -> None:
    """Print the sentence of every three."""
    options, texts = parse_with_run_and_texts(ArithmeticOptions, "arithmetic", arguments)
    from pyro_textvae import runs
    from pyro_textvae.cli.decoding import constraints_of, method_of, one_latent, print_json
    from pyro_textvae.cli.given_texts import (
        batch_with,
        fields_beside,
        given_texts,
        known_row,
        rows_of,
    )
    from pyro_textvae.cli.sentences import decode_row
    from pyro_textvae.generation.latent_space import arithmetic

    triples = [tuple(texts)] if texts else []
    if not texts or options.text_file is not None:
        read = given_texts("arithmetic", texts, options.text_file, "line of three sentences")
        triples = [tuple(line.split("\t")) for line in read]
    for triple in triples:
        if len(triple) != 3:
            raise UserError(
                f"arithmetic needs three sentences, A B C, got {len(triple)}: "
                f"{' | '.join(triple)[:200]}"
            )
    model, guide, tokenizer = runs.load_run(
        options.run, device=options.device, trust_code=options.trust_code
    )
    method, constraints = method_of(options, tokenizer), constraints_of(options, tokenizer)
    one_latent(options, "a sum of three latents")
    fields = fields_beside(model, guide, tokenizer, options, size=len(triples))
    rows = [[known_row(tokenizer, text) for text in triple] for triple in triples]
    for index, (triple, (a, b, c)) in enumerate(zip(triples, rows, strict=True)):
        beside = rows_of(fields, index, index + 1)
        decoded = arithmetic(
            model,
            guide,
            *(batch_with([row], beside) for row in (a, b, c)),
            method=method,
            seed=options.seed,
            constraints=constraints,
        )
        for number in range(len(decoded.tokens)):
            if options.format == "jsonl":
                named: dict[str, Any] = dict(zip("abc", triple, strict=True))
                print_json(tokenizer, decoded, number, source=options.source, **named)
                continue
            text = decode_row(tokenizer, decoded.tokens[number].tolist())
            print(text if len(triples) == 1 else f"{' | '.join(triple)}\n    {text}")
            sys.stdout.flush()
