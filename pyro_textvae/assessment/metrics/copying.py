# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How much of samples stands in the training text."""

from __future__ import annotations

import math

import numpy as np

from pyro_textvae.assessment.copied import IndexedText, Piece
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import SHARE, Number

_SHOWN = 5


class Copying(Metric):
    r"""Samples that are training sentences, and the longest run of words of each in one of those.

    .. math::
        \frac{1}{N} \#\{n : x_n \in \mathcal{D}\}, \qquad
        \frac{1}{N} \sum_n \max \{l : x_{n,i}, \dots, x_{n,i+l-1} \text{ stands in } \mathcal{D}\}

    The first in [0, 1], the second in words, its longest too, and as a share of the sample. Text of
    short sentences repeats itself: what the real text has of its own training text is beside, and
    more than that is memory, less is no virtue.

    Source: McCoy et al. (2023), https://arxiv.org/abs/2111.09509.
    """

    title = "samples"

    def measure(self, material: Material) -> list[Number]:
        """Shares and lengths beside the real text's; some samples are shown with what they copy."""
        training = material.training
        index = IndexedText(training.words)
        whole = set(training.words)
        of = {}
        for name, sentences in (("samples", material.samples), ("real", material.real)):
            pieces = [index.longest_piece(words) for words in sentences.words]
            lengths = np.array([piece.length for piece in pieces])
            sizes = np.array([max(1, len(words)) for words in sentences.words])
            copied = np.array([words in whole for words in sentences.words])
            of[name] = (copied, lengths, lengths / sizes)
            if name == "samples":
                self._show(material, pieces)
        labels = (
            ("copied_sentences", "whole training sentences", "", 3),
            ("copied_words", "longest run copied, mean", "words", 2),
            ("copied_share", "its share of the sample, mean", "", 3),
        )
        numbers = []
        for (name, label, unit, digits), values, real in zip(
            labels, of["samples"], of["real"], strict=True
        ):
            value, interval = material.bootstrap.mean(values)
            numbers.append(
                Number(
                    name,
                    label,
                    value,
                    interval,
                    len(values),
                    "samples",
                    unit=unit,
                    digits=digits,
                    column="copied" if name == "copied_share" else "",
                    better="real",
                    real=float(real.mean()),
                    bounds=(0.0, math.inf) if unit else SHARE,
                )
            )
        longest, real_longest = of["samples"][1].max(), of["real"][1].max()
        numbers.append(
            Number(
                "copied_most",
                "longest run copied, of all",
                float(longest),
                None,
                len(material.samples),
                "samples",
                unit="words",
                digits=0,
                better="real",
                real=float(real_longest),
            )
        )
        return numbers

    def _show(self, material: Material, pieces: list[Piece]) -> None:
        """The samples with the longest copied runs, beside the training sentences they stand in."""
        order = sorted(range(len(pieces)), key=lambda place: -pieces[place].length)
        seen: set[str] = set()
        for place in order:
            piece, sample = pieces[place], material.samples.texts[place]
            if sample in seen or not piece.length or len(seen) == _SHOWN:
                continue
            seen.add(sample)
            words = material.samples.words[place][piece.start : piece.start + piece.length]
            material.examples.append(
                {
                    "sample": sample,
                    "copied": " ".join(words),
                    "training_sentence": material.training.texts[piece.place],
                }
            )
