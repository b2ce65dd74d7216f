# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How much of a sentence comes back from its latent, word by word."""

from __future__ import annotations

import math

import numpy as np

from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import SHARE, Number
from pyro_textvae.assessment.reconstructed import AT, why_not_reconstructed
from pyro_textvae.data.import_nltk import import_nltk


class Reconstruction(Metric):
    r"""Sentences and words that come back the same, and the edits that would make them so.

    .. math::
        \text{word accuracy} = \frac{\sum_n \#\{i : \hat x_{ni} = x_{ni}\}}{\sum_n |x_n|}

    The edit distance is the least number of insertions, deletions and substitutions that turns one
    into the other, in words and in characters, over the length of the original. Exact match and
    word accuracy lie in [0, 1] and are better when higher; the distances are 0 at best, and not
    bounded by 1.

    Source: Levenshtein (1966), Binary codes capable of correcting deletions, insertions, and
    reversals; https://www.nltk.org/api/nltk.metrics.distance.html.
    """

    title = "reconstruction"

    def why_not(self, material: Material) -> str | None:
        """For a model without a latent of its sentences."""
        return why_not_reconstructed(material)

    def measure(self, material: Material) -> list[Number]:
        """Each at the posterior mean, and at a draw of the posterior."""
        edit_distance = import_nltk("nltk.metrics.distance").edit_distance
        real, bootstrap = material.real, material.bootstrap
        words = np.array([len(each) for each in real.words])
        characters = np.array([len(text) for text in real.texts])
        numbers = []
        for name, again in material.reconstructions.items():
            place, column = AT[name]
            pairs = list(zip(real.words, again.words, strict=True))
            texts = list(zip(real.texts, again.texts, strict=True))
            parts = {
                "exact_match": ("exact match", [a == b for a, b in pairs], np.ones(len(real))),
                "word_accuracy": ("word accuracy", [_same_places(*pair) for pair in pairs], words),
                "word_edits": ("edits per word", [edit_distance(*pair) for pair in pairs], words),
                "character_edits": (
                    "edits per character",
                    [edit_distance(*pair) for pair in texts],
                    characters,
                ),
            }
            for key, (label, counts, wholes) in parts.items():
                value, interval = bootstrap.ratio(np.array(counts), wholes)
                numbers.append(
                    Number(
                        f"{key}_{column}",
                        f"{label}, {place}",
                        value,
                        interval,
                        len(real),
                        name,
                        bounds=(0.0, math.inf) if "edits" in key else SHARE,
                        better="lower" if "edits" in key else "higher",
                        column="words back" if (key, column) == ("word_accuracy", "mean") else "",
                    )
                )
        return numbers


def _same_places(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    return sum(a == b for a, b in zip(one, other, strict=False))
