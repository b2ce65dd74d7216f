# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae reconstruct``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run
from pyro_textvae.config.checks import at_least, setting
from pyro_textvae.config.evaluate import Split
from pyro_textvae.contract import LABELS, NOT_GIVEN, SOURCE, TOKENS
from pyro_textvae.errors import UserError


@dataclass
class ReconstructOptions(DecodingOptions):
    """Decode sentences again from their latents.

    Args:
        text: a sentence of your own; by default sentences of the split.
        source: what it is conditioned on, in a model that takes a source.
        label: decode with this label in the place of the sentence's own, from the same latents.
        split: train, valid or test.
        size: number of sentences of the split.

    """

    text: str | None = None
    source: str | None = None
    label: str | None = None
    split: Split = "test"
    size: int = setting(5, at_least(1))


def main(arguments: Sequence[str]) -> None:
    """Print each sentence and its reconstruction."""
    options = parse_with_run(ReconstructOptions, "reconstruct", arguments)
    from pyro_textvae import generation, runs
    from pyro_textvae.cli.labels import names_of_labels, read_labels, repeated_labels
    from pyro_textvae.cli.sentences import (
        decode_row,
        encode_text,
        is_conditional,
        pick_sentences,
        read_sources,
        repeated_sources,
    )
    from pyro_textvae.data import pad

    method = generation.build_method(options.method, options.options)
    model, guide, tokenizer = runs.load_run(
        options.run, device=options.device, trust_code=options.trust_code
    )
    conditional = is_conditional(model) or is_conditional(guide)
    sources = read_sources(model, options.run, options.source, None)
    if sources and options.text is None:
        raise UserError("source is that of a sentence of your own: give --text too, or neither")
    if options.text is None:
        batch = pick_sentences(
            options.run,
            options.split,
            options.size,
            options.seed,
            trust_code=options.trust_code,
        )
    elif conditional and not sources:
        raise UserError(
            f"the programs of {options.run} need more of a sentence than --text gives, such as its "
            "source: give --source, or leave --text out to take sentences of --split"
        )
    else:
        batch = {TOKENS: pad([encode_text(tokenizer, options.text)])}
        batch |= repeated_sources(tokenizer, sources, 1) if sources else {}
    labels = read_labels(model, options.run, options.label)
    changed = repeated_labels(options.run, labels, len(batch[TOKENS])) if labels else None
    rows = generation.reconstruct(
        model,
        guide,
        batch,
        changed=changed,
        method=method,
        seed=options.seed,
        unknown=options.unknown,
    )
    for index, row in enumerate(rows.tolist()):
        if conditional and SOURCE in batch:
            print(f"with  {decode_row(tokenizer, batch[SOURCE][index].tolist())}")
        print(f"from  {decode_row(tokenizer, batch[TOKENS][index].tolist())}")
        if labels:
            own = int(batch[LABELS][index]) if LABELS in batch else NOT_GIVEN
            names = names_of_labels(options.run)
            print(f"label {names[own] if own >= 0 else 'not given'} -> {labels[0]}")
        print(f"to    {decode_row(tokenizer, row)}\n")
