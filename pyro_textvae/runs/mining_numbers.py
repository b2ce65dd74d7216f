# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The numbers of an evaluation that are of a collection with labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_textvae.contract import LABELS, NOT_GIVEN, TOKENS
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.mining import Mining, bag_of_words, chance_of_same_label
from pyro_textvae.evaluation.sentences import sentences_in_corpus_order
from pyro_textvae.generation.latent_space import embed
from pyro_textvae.infer.simulate import named_fields
from pyro_textvae.runs.build import Pair
from pyro_textvae.special_tokens import EOS, PAD

MOST_SENTENCES = 1000
"""Distances are of all pairs."""
_AT_ONCE = 64


def mining_numbers(
    pair: Pair, corpus: Corpus, split: str, seed: int, vectors: str | None = None
) -> dict[str, Any]:
    """Plain values for ``evaluation.json``: of the latents, of a bag of words, and of ``vectors``.

    :param vectors: a file of NumPy with a row for each sentence of the split, in its order, such as
        the embeddings of another program.
    :raises UserError: where there is no label or no latent, where the latents are drawn given the
        label, and for vectors that do not fit.
    """
    labels = corpus.split(split).labels
    if labels is None or not (np.asarray(labels) != NOT_GIVEN).any():
        raise UserError(
            f"mining is of labels, and the {split} split has none: give label_column, or leave "
            "mining out"
        )
    if LABELS in named_fields(pair.guide):
        raise UserError(
            f"the latents of {type(pair.guide).__name__} are drawn given the label, so that they "
            "cannot be asked for it: leave mining out"
        )
    given = np.flatnonzero(np.asarray(labels) != NOT_GIVEN)
    generator = np.random.default_rng([seed])
    rows = np.sort(generator.permutation(given)[:MOST_SENTENCES])
    chosen = np.asarray(labels)[rows]
    batches = list(corpus.batches(split, _AT_ONCE, shuffle=False))
    words = [
        [token for token in sentence[TOKENS].flatten().tolist() if token not in (PAD, EOS)]
        for sentence in sentences_in_corpus_order(batches)
    ]
    of_each = {
        "latents": _latents(pair, batches, seed)[rows],
        "bag_of_words": bag_of_words([words[row] for row in rows], seed=seed),
    }
    if vectors is not None:
        of_each["vectors"] = _read(vectors, len(labels))[rows]
    return {
        "num_sentences": len(rows),
        "num_labels": len(np.unique(chosen)),
        "chance": chance_of_same_label(chosen),
        **{
            name: Mining.of(points.astype(np.float64), chosen, seed=seed).to_dict()
            for name, points in of_each.items()
        },
    }


def _latents(pair: Pair, batches: list[Any], seed: int) -> np.ndarray:
    """The posterior means of all sites of each sentence, in the order of the corpus."""
    points = torch.cat(
        [
            torch.cat([site.flatten(1).double() for site in each.points.values()], 1)
            for each in embed(pair.guide, batches, seed=seed)
        ]
    )
    places = torch.cat([batch.indices for batch in batches])
    return points[places.argsort()].numpy()


def _read(path: str, size: int) -> np.ndarray:
    try:
        vectors = np.load(Path(path).expanduser(), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot read {path} as an array of NumPy: {error}") from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or len(vectors) != size:
        shape = getattr(vectors, "shape", type(vectors).__name__)
        raise UserError(f"{path} must have one row for each of {size:,} sentences, got {shape}")
    if not np.issubdtype(vectors.dtype, np.number) or not np.isfinite(vectors).all():
        raise UserError(f"{path} must hold finite numbers")
    return vectors
