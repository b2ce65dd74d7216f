# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae sample``."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run
from pyro_textvae.config.checks import Member, at_least, setting
from pyro_textvae.config.evaluate import Split
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pyro_textvae.infer.simulate import Condition


@dataclass
class SampleOptions(DecodingOptions):
    """Draw sentences from a run: latents, then words.

    Args:
        size: number of sentences; with a source or labels of your own, for each of them.
        source: what the sentences are conditioned on, in a model that takes a source.
        source_file: a file with such a source a line; - for standard input.
        label: of the sentences, in a model that takes labels; by default the model draws it.
        labels_from: a file with such a label a line.
        split: train, valid or test: whose first sentences a model with a source is given the
            sources of; by default test.
        latents_from: prior, or aggregate, a mixture of Gaussians fitted to the latents of the
            training split; --from for short.
        num_components: of that mixture.

    """

    size: int = setting(10, at_least(1))
    method: str = setting("ancestral", Member("methods"))
    source: str | None = None
    source_file: str | None = None
    label: str | None = None
    labels_from: str | None = None
    split: Split | None = None
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
    from pyro_textvae.cli.decoding import constraints_of, method_of, print_json
    from pyro_textvae.cli.labels import read_labels, repeated_labels
    from pyro_textvae.cli.sentences import (
        decode_document,
        decode_poem,
        decode_row,
        first_sentences,
        is_conditional,
        read_sources,
        repeated_sources,
        writes_documents,
        writes_poems,
    )
    from pyro_textvae.contract import SOURCE

    model, guide, tokenizer = runs.load_run(
        options.run, device=options.device, trust_code=options.trust_code
    )
    method = method_of(options, tokenizer)
    constraints = constraints_of(options, tokenizer)
    copies = options.num_latents * method.num_draws
    documents = writes_documents(model)
    condition: Condition = options.size
    sources: Iterator = itertools.repeat(None)
    labels = read_labels(model, options.run, options.label, options.labels_from)
    texts = read_sources(model, options.run, options.source, options.source_file, options.split)
    if labels:
        _check_alone(model, options)
        condition = repeated_labels(options.run, labels, options.size)
    elif texts:
        condition = repeated_sources(tokenizer, texts, options.size)
        sources = iter(condition[SOURCE].tolist())
    elif is_conditional(model):
        condition = first_sentences(
            options.run, options.split or "test", options.size, trust_code=options.trust_code
        )
        if SOURCE in condition:
            sources = iter(condition[SOURCE].tolist())
    elif options.split is not None:
        raise UserError(
            f"the model of {options.run} is conditioned on nothing of the corpus, so split="
            f"{options.split} would do nothing: leave it out"
        )
    fitted = options.latents_from == "aggregate"
    parts = generation.generate_rows(
        model,
        generation.repeated_condition(condition, copies),
        copies=copies,
        method=method,
        seed=options.seed,
        constraints=constraints,
        latents=_fitted(model, guide, options, copies) if fitted else None,
        guide=guide,
    )
    each = options.num_latents * method.num_return_sequences
    if labels:
        of_label = options.size * each
        number = 0
        for part in parts:
            for row in range(len(part.tokens)):
                label = labels[number // of_label]
                if options.format == "jsonl":
                    print_json(tokenizer, part, row, as_document=documents, label=label)
                else:
                    if len(labels) > 1 and number % of_label == 0:
                        print(f"label   {label}")
                    print(decode_row(tokenizer, part.tokens[row].tolist()))
                    sys.stdout.flush()
                number += 1
        return
    sources = itertools.chain.from_iterable(itertools.repeat(source, each) for source in sources)
    above: list[int] | None = None
    place, poems = 0, writes_poems(model)
    for part in parts:
        # Rows come first: what zip looks at last it takes from no further than it needs.
        for row, source in zip(range(len(part.tokens)), sources, strict=False):
            if options.format == "jsonl":
                of_row = None if source is None else decode_row(tokenizer, source)
                print_json(tokenizer, part, row, as_document=documents, source=of_row)
                continue
            if source is None and documents:
                place += 1
                print(
                    f"document {place}, {decode_document(tokenizer, part.tokens[row].tolist())}\n"
                )
                sys.stdout.flush()
                continue
            if poems:
                if source != above:
                    print(f"form  {decode_row(tokenizer, source)}\n")
                above = source
                print(f"{decode_poem(tokenizer, part.tokens[row].tolist())}\n")
                sys.stdout.flush()
                continue
            text = decode_row(tokenizer, part.tokens[row].tolist())
            if source is None:
                print(text)
                sys.stdout.flush()
                continue
            if source != above or (not texts and place % each == 0):
                print(f"source  {decode_row(tokenizer, source)}")
            above = source
            place += 1
            print(f"text    {text}" + ("" if texts or place % each else "\n"))
            sys.stdout.flush()


def _check_alone(model: nn.Module, options: SampleOptions) -> None:
    """Refuse what else would say what the sentences of a label are generated on."""
    from pyro_textvae.cli.sentences import is_conditional

    others = {
        "source": options.source,
        "source_file": options.source_file,
        "split": options.split,
        "from": None if options.latents_from == "prior" else options.latents_from,
    }
    for name, value in others.items():
        if value is not None:
            raise UserError(f"label and {name} exclude each other here: leave {name} out")
    if is_conditional(model):
        raise UserError(
            f"the model of {options.run} needs more than a label to generate, such as a source: "
            "leave the label out to take both of sentences of --split"
        )


def _fitted(
    model: nn.Module, guide: nn.Module, options: SampleOptions, copies: int
) -> dict[str, Tensor]:
    from pyro_textvae import generation, runs
    from pyro_textvae.run_folder import RunFolder

    corpus = runs.load_run_corpus(RunFolder(options.run), trust_code=options.trust_code)
    density = generation.fit_ex_post_density(
        model,
        guide,
        corpus.batches("train", shuffle=False),
        corpus.batches("valid", shuffle=False),
        num_components=options.num_components,
        seed=options.seed,
    )
    print(density.describe(), file=sys.stderr)
    return density.latents(model, options.size * copies, seed=options.seed)
