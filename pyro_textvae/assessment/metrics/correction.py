# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Corrected sentences: words right, edits right, and how far the best reader would come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from pyro_textvae.assessment.bootstrap import Array
from pyro_textvae.assessment.conditional import why_no_source, world_name
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import SHARE, Number
from pyro_textvae.data.import_nltk import import_nltk

MOST = 100
"""Sentences that the best reader reads: it takes its time."""

Words = Sequence[str]


class Correction(Metric):
    r"""Accuracy of words and sentences, F1 of corrections, GLEU; beside them the exact best reader.

    .. math::
        F_1 = \frac{2 \, TP}{2 \, TP + FP + FN}, \qquad
        \text{gain} = \frac{a(\hat y) - a(x)}{a(y^*) - a(x)}

    A correction is an edit of the source (a place, and the words that come there): TP are those of
    text and reference alike. a is the share of the reference's words in place, of the text, of the
    source left as it is, and of :math:`y^*`, the likeliest word at each place by the posterior of
    world:typos, which is exact; of the first 100 sentences. All in [0, 1], higher is better; the
    gain is negative where it does harm. GLEU is NLTK's, the mean over sentences: that of Wu et al.,
    which takes no notice of the source, not the one of the same name in grammar correction.

    Source: Wu et al. (2016), https://arxiv.org/abs/1609.08144.
    """

    title = "corrections"
    worlds = ("typos",)

    def why_not(self, material: Material) -> str | None:
        """For a model without a source."""
        return why_no_source(material)

    def measure(self, material: Material) -> list[Number]:
        """One sample for each source."""
        samples, real, sources = (
            each.words for each in (material.samples, material.real, material.sources)
        )
        gleu = import_nltk("nltk.translate.gleu_score").sentence_gleu
        sizes = np.array([len(words) for words in real])
        edits = np.array(
            [_edits(*each) for each in zip(samples, real, sources, strict=True)], dtype=float
        )
        in_place = _in_place(samples, real)
        parts: list[tuple[str, str, Any, Any, str]] = [
            ("token_accuracy", "words right", in_place, sizes, "samples"),
            (
                "token_accuracy_of_source",
                "words right, nothing done",
                _in_place(sources, real),
                sizes,
                "sources",
            ),
            (
                "sentence_accuracy",
                "sentences right",
                [a == b for a, b in zip(samples, real, strict=True)],
                np.ones(len(real)),
                "samples",
            ),
            (
                "correction_f1",
                "F1 of corrections",
                2 * edits[:, 0],
                2 * edits[:, 0] + edits[:, 1] + edits[:, 2],
                "samples",
            ),
            (
                "gleu",
                "GLEU",
                [
                    gleu([list(b)], list(a)) if a else 0.0
                    for a, b in zip(samples, real, strict=True)
                ],
                np.ones(len(real)),
                "samples",
            ),
        ]
        numbers = []
        for name, label, counts, wholes, of in parts:
            if not np.sum(wholes):
                continue
            value, interval = material.bootstrap.ratio(np.array(counts), wholes)
            column = "F1" if name == "correction_f1" else ""
            numbers.append(
                Number(name, label, value, interval, len(real), of, column=column, bounds=SHARE)
            )
        if world_name(material) == "typos":
            numbers += _beside_the_best(material)
        return numbers


def _beside_the_best(material: Material) -> list[Number]:
    world: Any = material.corpus.world
    count = min(MOST, material.size)
    best = [world.best_words(text) for text in material.sources.texts[:count]]
    real = material.real.words[:count]
    of_best, of_source, of_samples = (
        np.array(_in_place(each, real))
        for each in (best, material.sources.words[:count], material.samples.words[:count])
    )
    same = [list(a) == b for a, b in zip(material.samples.words[:count], best, strict=True)]
    sizes = np.array([len(words) for words in real])

    def gain(weights: Array) -> float:
        possible = weights @ (of_best - of_source)
        return float(weights @ (of_samples - of_source) / possible) if possible else 0.0

    numbers = []
    for name, label, (value, interval), of in (
        (
            "token_accuracy_of_best",
            "words right, exact best reader",
            material.bootstrap.ratio(of_best, sizes),
            "sources",
        ),
        ("as_the_best", "sentences as the best reader's", material.bootstrap.mean(same), "samples"),
        (
            "gain_of_best",
            "gain, of the best reader's",
            material.bootstrap.statistic(gain, count),
            "samples",
        ),
    ):
        bounds = (-math.inf, math.inf) if name == "gain_of_best" else SHARE
        numbers.append(Number(name, label, value, interval, count, of, bounds=bounds))
    return numbers


def _in_place(texts: Sequence[Words], references: Sequence[Words]) -> list[int]:
    """Words of each reference that its text has in the same place."""
    return [
        sum(a == b for a, b in zip(text, reference, strict=False))
        for text, reference in zip(texts, references, strict=True)
    ]


def _edits(text: Words, reference: Words, source: Words) -> tuple[int, int, int]:
    """Corrections of the source that are right, wrong, and missing."""
    made, wanted = _corrections(source, text), _corrections(source, reference)
    return len(made & wanted), len(made - wanted), len(wanted - made)


def _corrections(source: Words, text: Words) -> set[tuple[int, int, tuple[str, ...]]]:
    if len(source) == len(text):
        return {
            (place, place + 1, (b,))
            for place, (a, b) in enumerate(zip(source, text, strict=True))
            if a != b
        }
    matcher = SequenceMatcher(None, source, text, autojunk=False)
    return {
        (first, last, tuple(text[start:end]))
        for tag, first, last, start, end in matcher.get_opcodes()
        if tag != "equal"
    }
