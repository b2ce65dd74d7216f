# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae reconstruct``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run
from pyro_textvae.config.checks import at_least, setting
from pyro_textvae.config.evaluate import Split
from pyro_textvae.contract import LABELS, NOT_GIVEN, SOURCE, TOKENS
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pyro_textvae.data import Tokenizer
    from pyro_textvae.generation import Constraints, DecodingMethod


@dataclass
class ReconstructOptions(DecodingOptions):
    """Decode sentences again from their latents.

    Args:
        text: a sentence of your own; by default sentences of the split.
        text_file: a file with such a sentence a line; - for standard input.
        source: what it is conditioned on, in a model that takes a source.
        label: decode with this label in the place of the sentence's own, from the same latents.
        split: train, valid or test.
        size: number of sentences of the split.
        summary: of groups, such as the reviews of a product, one text for each: what its parts have
            in common.

    """

    text: str | None = None
    text_file: str | None = None
    source: str | None = None
    label: str | None = None
    split: Split = "test"
    size: int = setting(5, at_least(1))
    summary: bool = False


def main(arguments: Sequence[str]) -> None:
    """Print each sentence and its reconstruction."""
    options = parse_with_run(ReconstructOptions, "reconstruct", arguments)
    from pyro_textvae import generation, runs
    from pyro_textvae.cli.decoding import (
        constraints_of,
        method_of,
        one_latent,
        print_json,
        sentences_of,
    )
    from pyro_textvae.cli.given_texts import rows_of_given
    from pyro_textvae.cli.labels import names_of_labels, read_labels, repeated_labels
    from pyro_textvae.cli.sentences import (
        decode_row,
        is_conditional,
        pick_sentences,
        read_sources,
        read_texts,
        repeated_sources,
        writes_documents,
    )

    model, guide, tokenizer = runs.load_run(
        options.run, device=options.device, trust_code=options.trust_code
    )
    method = method_of(options, tokenizer)
    constraints = constraints_of(options, tokenizer)
    conditional = is_conditional(model) or is_conditional(guide)
    sources = read_sources(model, options.run, options.source, None)
    if options.text is not None and options.text_file is not None:
        raise UserError("text and text_file both say what the sentence is: give one")
    texts = [options.text] if options.text is not None else []
    if options.text_file is not None:
        texts = read_texts(options.text_file, "sentence")
    if sources and not texts:
        raise UserError("source is that of a sentence of your own: give --text too, or neither")
    if not texts:
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
        batch = repeated_sources(tokenizer, sources, len(texts)) if sources else {}
        beside = batch[SOURCE][0].tolist() if sources else None
        batch[TOKENS] = rows_of_given(model, tokenizer, texts, beside)
    labels = read_labels(model, options.run, options.label)
    changed = repeated_labels(options.run, labels, len(batch[TOKENS])) if labels else None
    if options.summary:
        one_latent(options, "what the parts of a group have in common")
        _print_summaries(model, guide, tokenizer, batch, method, constraints, options)
        return
    decoded = generation.generate_reconstructions(
        model,
        guide,
        batch,
        changed=changed,
        method=method,
        seed=options.seed,
        constraints=constraints,
        num_latents=options.num_latents,
    )
    each = options.num_latents * method.num_return_sequences
    documents = writes_documents(model)
    for index, ids in enumerate(batch[TOKENS].tolist()):
        given: Any = decode_row(tokenizer, ids)
        source = None
        if conditional and SOURCE in batch:
            source = decode_row(tokenizer, batch[SOURCE][index].tolist())
        rows = range(index * each, (index + 1) * each)
        label = None
        if labels:
            own = int(batch[LABELS][index]) if LABELS in batch else NOT_GIVEN
            label = names_of_labels(options.run)[own] if own >= 0 else "not given"
        if options.format == "jsonl":
            to = labels[0] if labels else None
            given = sentences_of(tokenizer, ids) if documents else given
            for row in rows:
                print_json(
                    tokenizer,
                    decoded,
                    row,
                    as_document=documents,
                    source=source,
                    input=given,
                    label=label,
                    to_label=to,
                )
            continue
        if source is not None:
            print(f"with  {source}")
        if documents:
            print(_side_by_side(tokenizer, ids, [decoded.tokens[row].tolist() for row in rows]))
            sys.stdout.flush()
            continue
        print(f"from  {given}")
        if labels:
            print(f"label {label} -> {labels[0]}")
        for row in rows:
            print(f"to    {decode_row(tokenizer, decoded.tokens[row].tolist())}")
        print()
        sys.stdout.flush()


def _print_summaries(
    model: nn.Module,
    guide: nn.Module,
    tokenizer: Tokenizer,
    batch: Mapping[str, Tensor],
    method: DecodingMethod,
    constraints: Constraints,
    options: ReconstructOptions,
) -> None:
    """Each group, and the text at what its parts have in common."""
    from pyro_textvae import generation
    from pyro_textvae.cli.decoding import print_json, sentences_of
    from pyro_textvae.cli.sentences import decode_row

    written = generation.generate_summaries(
        model, guide, batch, method=method, seed=options.seed, constraints=constraints
    )
    each = method.num_return_sequences
    for index, ids in enumerate(batch[TOKENS].tolist()):
        given = sentences_of(tokenizer, ids)
        rows = range(index * each, (index + 1) * each)
        if options.format == "jsonl":
            for row in rows:
                print_json(tokenizer, written, row, input=given)
            continue
        for sentence in given:
            print(f"from     {sentence}")
        for row in rows:
            print(f"summary  {decode_row(tokenizer, written.tokens[row].tolist())}")
        print()
        sys.stdout.flush()


def _side_by_side(tokenizer: Tokenizer, document: list, decoded: list[list]) -> str:
    """A document's sentences, each with what is decoded in its place below it."""
    from pyro_textvae.cli.sentences import decode_row

    lines = []
    for place, ids in enumerate(document):
        if any(ids):
            lines.append(f"from  {decode_row(tokenizer, ids)}")
            lines += [f"to    {decode_row(tokenizer, each[place])}" for each in decoded]
    return "\n".join(lines) + "\n"
