# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A sentence that one looks at: of the collection, or typed in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pyro_textvae.infer.batches import Fields


@dataclass(frozen=True, eq=False)
class Sentence:
    """Its text, what the programs are given of it, and where it is.

    text
        As the model reads it: what its tokenizer does not know is ``<unk>``.
    fields
        A batch of this one sentence.
    points
        Its latents by site, ``(1, ...)``.
    vector
        The latents that the map is of, side by side, ``(1, D)``.
    index
        Its place in the collection; None for one that was typed in.
    num_unknown
        Tokens that the model does not know.
    """

    text: str
    fields: Fields
    points: dict[str, Tensor]
    vector: np.ndarray
    index: int | None
    num_unknown: int

    @property
    def num_tokens(self) -> int:
        """Tokens, ``<eos>`` counted."""
        return self.fields["tokens"].shape[1]


@dataclass(frozen=True, eq=False)
class Way:
    """Sentences along a way, and where their latents are.

    texts
        Of every step.
    vectors
        ``(S, D)``.
    """

    texts: tuple[str, ...]
    vectors: np.ndarray


@dataclass(frozen=True)
class Score:
    """What is known of log p(x) of one sentence; nats.

    nll, standard_error
        -log p(x), and its Monte Carlo error.
    khat
        Pareto shape of the weights' tail: above 0.7 the error is not known.
    settled
        Whether the sentence's own draws say that the number is right.
    """

    nll: float
    standard_error: float
    khat: float
    settled: bool
