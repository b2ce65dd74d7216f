# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae interpolate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run
from pyro_textvae.config.checks import at_least, setting
from pyro_textvae.contract import SOURCE, TOKENS
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pyro_textvae.generation.latent_space import AggregateMoments


@dataclass
class InterpolateOptions(DecodingOptions):
    """Walk between the latents of two sentences; on a sphere, along the shorter arc.

    Args:
        start: the first sentence; by default one of the test split.
        end: the last sentence; by default one of the test split.
        source: what all of them are conditioned on, in a model that takes a source.
        source_file: a file with a source for each step, a line each; - for standard input.
        steps: sentences to print, both ends counted.
        path: line, on a sphere the shorter arc, or aggregate, which turns about the middle of the
            training split's latents and keeps as far from it as sentences are.

    """

    start: str | None = None
    end: str | None = None
    source: str | None = None
    source_file: str | None = None
    steps: int = setting(7, at_least(2))
    path: Literal["line", "aggregate"] = "line"


def main(arguments: Sequence[str]) -> None:
    """Print the sentences along the line."""
    options = parse_with_run(InterpolateOptions, "interpolate", arguments)
    from pyro_textvae import generation, runs
    from pyro_textvae.cli.decoding import (
        constraints_of,
        method_of,
        one_latent,
        print_json,
        sentences_of,
    )
    from pyro_textvae.cli.given_texts import document_of, pad_documents
    from pyro_textvae.cli.sentences import (
        decode_document,
        decode_row,
        encode_text,
        is_conditional,
        pick_sentences,
        read_sources,
        repeated_sources,
        without_padding,
        writes_documents,
    )
    from pyro_textvae.data import pad

    model, guide, tokenizer = runs.load_run(
        options.run, device=options.device, trust_code=options.trust_code
    )
    method = method_of(options, tokenizer)
    constraints = constraints_of(options, tokenizer)
    one_latent(options, "a step of the walk")
    given = [options.start, options.end]
    conditional = is_conditional(model) or is_conditional(guide)
    sources = read_sources(model, options.run, options.source, options.source_file)
    if options.source_file is not None and len(sources) != options.steps:
        raise UserError(
            f"{options.source_file} has {len(sources)} sources and the walk {options.steps} steps: "
            "give a source for each, or one of all by source"
        )
    if conditional and given != [None, None] and not sources:
        raise UserError(
            f"the programs of {options.run} need more of a sentence than --start and --end give, "
            "such as its source: give --source, or leave them out to take sentences of the test "
            "split"
        )
    ends: Mapping[str, Tensor] = {}
    if None in given:
        ends = pick_sentences(options.run, "test", 2, options.seed, trust_code=options.trust_code)
        if len(ends[TOKENS]) < 2:
            raise UserError(
                f"the test split of {options.run} has one sentence and a line needs two ends: "
                "give --start and --end"
            )
    of_steps = repeated_sources(tokenizer, sources, 1)[SOURCE] if sources else None
    documents = writes_documents(model)
    if given != [None, None] and documents:
        ends = {
            TOKENS: pad_documents(
                [
                    [without_padding(row) for row in ends[TOKENS][place] if row.any()]
                    if text is None
                    else document_of(model, tokenizer, text)
                    for place, text in enumerate(given)
                ]
            )
        }
    elif given != [None, None]:
        rows = [
            without_padding(ends[TOKENS][place])
            if text is None
            else encode_text(
                tokenizer, text, None if of_steps is None else of_steps[-1 if place else 0].tolist()
            )
            for place, text in enumerate(given)
        ]
        ends = {TOKENS: pad(rows)}
    condition = None
    if of_steps is not None:
        ends = {TOKENS: ends[TOKENS], SOURCE: of_steps[[0, -1]]}
        condition = {
            TOKENS: ends[TOKENS][:1].expand(len(of_steps), *ends[TOKENS].shape[1:]),
            SOURCE: of_steps,
        }
    walk = generation.generate_interpolation(
        model,
        guide,
        ends,
        condition=condition,
        steps=options.steps,
        method=method,
        seed=options.seed,
        constraints=constraints,
        aggregate=_moments(guide, options) if options.path == "aggregate" else None,
    )
    start, end = (
        sentences_of(tokenizer, row)
        if documents and options.format == "jsonl"
        else decode_row(tokenizer, row)
        for row in ends[TOKENS].tolist()
    )
    source = None
    if conditional and SOURCE in ends:
        source = decode_row(tokenizer, ends[SOURCE][0].tolist())
    each = method.num_return_sequences
    of_row = [source] * len(walk.tokens)
    if of_steps is not None and len(of_steps) > 1:
        of_row = [decode_row(tokenizer, of_steps[n // each].tolist()) for n in range(len(of_row))]
    places = range(len(walk.tokens))
    if options.format == "jsonl":
        for row in places:
            share = round(row // each / (options.steps - 1), 12)
            print_json(
                tokenizer,
                walk,
                row,
                as_document=documents,
                source=of_row[row],
                start=start,
                end=end,
                share=share,
            )
        return
    if documents:
        print(f"from, {decode_document(tokenizer, ends[TOKENS][0].tolist())}\n")
        for row in places:
            print(f"step {row + 1}, {decode_document(tokenizer, walk.tokens[row].tolist())}\n")
        print(f"to, {decode_document(tokenizer, ends[TOKENS][1].tolist())}")
        return
    walked = options.source_file is not None
    if source is not None and not walked:
        print(f"with  {source}")
    print(f"from  {start}")
    for row in places:
        if walked and row % each == 0:
            print(f"with  {of_row[row]}")
        print(f"      {decode_row(tokenizer, walk.tokens[row].tolist())}")
    print(f"to    {end}")


def _moments(guide: nn.Module, options: InterpolateOptions) -> Mapping[str, AggregateMoments]:
    from pyro_textvae import runs
    from pyro_textvae.cli.progress import shown
    from pyro_textvae.generation.latent_space import aggregate_moments
    from pyro_textvae.run_folder import RunFolder

    corpus = runs.load_run_corpus(RunFolder(options.run), trust_code=options.trust_code)
    batches = shown(corpus.batches("train", shuffle=False), "aggregate posterior")
    return aggregate_moments(guide, batches, seed=options.seed)
