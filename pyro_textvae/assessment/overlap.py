# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""BLEU and chrF as ``sacrebleu`` computes them, with the signature of what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pyro_textvae.assessment.extra import package

Kind = Literal["BLEU", "CHRF"]


@dataclass(frozen=True)
class Overlap:
    """A score of a whole text, from 0 to 100.

    interval
        95 %, by the bootstrap of ``sacrebleu``: half its width to either side of the score.
    signature
        What ``sacrebleu`` says of how it was computed.
    """

    score: float
    interval: tuple[float, float]
    signature: str


def overlap(
    kind: Kind,
    texts: Sequence[str],
    references: Sequence[str],
    *,
    num_resamples: int,
    tokenizer: str,
) -> Overlap:
    """BLEU or chrF of texts against a reference each.

    Source: Post (2018), https://aclanthology.org/W18-6319/; of chrF: Popovic (2015),
    https://aclanthology.org/W15-3049/.

    >>> score = overlap("BLEU", ["a b c d e"], ["a b c d f"], num_resamples=100, tokenizer="13a")
    >>> round(score.score, 2)
    66.87

    :param tokenizer: of BLEU; chrF has none.
    :raises UserError: without ``sacrebleu``.
    """
    metric = _metric(kind, tokenizer)
    result = metric.corpus_score(list(texts), [list(references)], n_bootstrap=num_resamples)
    half = result._ci
    interval = (result.score - half, result.score + half)
    return Overlap(result.score, interval, str(metric.get_signature()))


def sentence_bleu(
    texts: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str
) -> tuple[list[float], str]:
    """BLEU of each text against references of its own, from 0 to 100, and the signature.

    Of short texts, only the orders that there are count; where none matches, the exponential
    smoothing of ``sacrebleu``.

    >>> scores, signature = sentence_bleu(["a b"], [["a b", "c"]], tokenizer="13a")
    >>> [round(score, 3) for score in scores]
    [100.0]

    :raises UserError: without ``sacrebleu``.
    """
    metric = _metric("BLEU", tokenizer, effective_order=True)
    scores = [
        metric.sentence_score(text, list(each)).score
        for text, each in zip(texts, references, strict=True)
    ]
    return scores, str(metric.get_signature())


def bleu_counts(
    texts: Sequence[str], references: Sequence[str], *, tokenizer: str
) -> np.ndarray[Any, Any]:
    """What BLEU sums over texts, of each: matches and n-grams of each order, lengths, ``(N, 10)``.

    :raises UserError: without ``sacrebleu``.
    """
    metric = _metric("BLEU", tokenizer, effective_order=True)
    scores = (
        metric.sentence_score(text, [reference])
        for text, reference in zip(texts, references, strict=True)
    )
    return np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in scores])


def bleu_of_counts(summed: np.ndarray[Any, Any]) -> float:
    """BLEU of summed counts, as ``sacrebleu`` computes it of a whole text.

    >>> texts, references = ["a b c d e", "a b"], ["a b c d f", "a b"]
    >>> counts = bleu_counts(texts, references, tokenizer="13a")
    >>> whole = overlap("BLEU", texts, references, num_resamples=100, tokenizer="13a")
    >>> round(bleu_of_counts(counts.sum(0)), 6) == round(whole.score, 6)
    True

    :param summed: of :func:`bleu_counts`, over sentences, ``(10,)``.
    """
    numbers = [int(each) for each in summed]
    score: float = (
        package("sacrebleu.metrics")
        .BLEU.compute_bleu(numbers[:4], numbers[4:8], numbers[8], numbers[9])
        .score
    )
    return score


def bleu_signature(tokenizer: str) -> str:
    """What ``sacrebleu`` says of BLEU over a whole text with a reference each.

    >>> "tok:13a" in bleu_signature("13a")
    True
    """
    metric = _metric("BLEU", tokenizer)
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())


def _metric(kind: Kind, tokenizer: str, **options: Any) -> Any:
    metrics = package("sacrebleu.metrics")
    if kind == "CHRF":
        return metrics.CHRF()
    # Text that is cut into words already is no reason to warn: it is the corpus's own.
    return metrics.BLEU(tokenize=tokenizer, force=True, **options)
