# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae traverse``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyro_textvae.cli.run_options import DecodingOptions, parse_with_run_and_texts
from pyro_textvae.config.checks import POSITIVE, at_least, setting
from pyro_textvae.config.evaluate import Split
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class TraverseOptions(DecodingOptions):
    """Walk from RUN TEXT along a dimension, a direction, or from one label to another.

    Args:
        text_file: a file with a sentence a line, in the place of arguments; - for standard input.
        source: what the sentences are conditioned on, in a model that takes a source.
        label: of the sentences, in a model that takes labels; without it the guide infers it.
        labels_from: a file with such a label a line, one for each text.
        dimension: whose number in the latent changes, counted from 0.
        direction: a .npy file with a vector as long as the latent.
        label_from: the name of a label; the way leads from the mean of its sentences.
        label_to: the name of another; the way leads to the mean of its sentences.
        split: train, valid or test: whose sentences those means are of.
        site: of the latent, where there are several.
        steps: sentences to print, both ends counted.
        extent: how far to go either way; by default 3 for a dimension, else 1, the whole vector.

    """

    text_file: str | None = None
    source: str | None = None
    label: str | None = None
    labels_from: str | None = None
    dimension: int | None = None
    direction: str | None = None
    label_from: str | None = None
    label_to: str | None = None
    split: Split = "train"
    site: str | None = None
    steps: int = setting(7, at_least(2))
    extent: float | None = setting(None, POSITIVE)


def main(arguments: Sequence[str]) -> None:
    """Print the sentences along the way, each with how far it is."""
    options, texts = parse_with_run_and_texts(TraverseOptions, "traverse", arguments)
    import torch

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
    from pyro_textvae.generation.latent_space import traverse

    _check_one_way(options)
    texts = given_texts("traverse", texts, options.text_file)
    model, guide, tokenizer = runs.load_run(
        options.run, device=options.device, trust_code=options.trust_code
    )
    method, constraints = method_of(options, tokenizer), constraints_of(options, tokenizer)
    one_latent(options, "a step of the walk")
    fields = fields_beside(model, guide, tokenizer, options, size=len(texts))
    rows = [known_row(tokenizer, text) for text in texts]
    direction = _direction(guide, options)
    extent = options.extent or (3.0 if options.dimension is not None else 1.0)
    offsets = torch.linspace(-extent, extent, options.steps)
    for index, (text, row) in enumerate(zip(texts, rows, strict=True)):
        walk = traverse(
            model,
            guide,
            batch_with([row], rows_of(fields, index, index + 1)),
            direction,
            offsets,
            site=options.site,
            method=method,
            seed=options.seed,
            constraints=constraints,
        )
        if options.format == "text":
            print(f"from    {text}")
        for number in range(len(walk.tokens)):
            offset = offsets[number // method.num_return_sequences].item()
            if options.format == "jsonl":
                print_json(
                    tokenizer,
                    walk,
                    number,
                    source=options.source,
                    input=text,
                    offset=round(offset, 6),
                )
                continue
            print(f"{offset:+6.2f}  {decode_row(tokenizer, walk.tokens[number].tolist())}")
            sys.stdout.flush()


def _check_one_way(options: TraverseOptions) -> None:
    if (options.label_from is None) != (options.label_to is None):
        raise UserError("a way between labels needs both: give --label-from and --label-to")
    given = {
        "dimension": options.dimension,
        "direction": options.direction,
        "label_from": options.label_from,
    }
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise UserError(
            f"{' and '.join(named)} both say where to go: give one"
            if named
            else "traverse needs a way to go: give --dimension, --direction, or --label-from and "
            "--label-to"
        )


def _direction(guide: nn.Module, options: TraverseOptions) -> Tensor | int:
    if options.dimension is not None:
        return options.dimension
    if options.direction is not None:
        return _read_vector(options.direction)
    from pyro_textvae import runs
    from pyro_textvae.cli.progress import shown
    from pyro_textvae.generation.latent_space import label_direction
    from pyro_textvae.run_folder import RunFolder

    corpus = runs.load_run_corpus(RunFolder(options.run), trust_code=options.trust_code)
    names = corpus.label_names
    if not names:
        raise UserError(
            f"the corpus of {options.run} has no labels, between which a way could lead: give "
            "--dimension or --direction"
        )
    for name in (options.label_from, options.label_to):
        if name not in names:
            raise UserError(f"there is no label {name!r}: there are {', '.join(names)}")
    return label_direction(
        guide,
        shown(corpus.batches(options.split, shuffle=False), "means of labels"),
        names.index(str(options.label_from)),
        names.index(str(options.label_to)),
        site=options.site,
        seed=options.seed,
    )


def _read_vector(file: str) -> Tensor:
    import numpy as np
    import torch

    try:
        vector = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"cannot read {file} as a .npy file of one vector: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.dtype.kind not in "fiu":
        raise UserError(f"{file} must hold one vector of numbers, as numpy.save writes it")
    return torch.from_numpy(vector.astype("float64"))
