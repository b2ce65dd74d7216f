# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a language model of real text says of samples, and one of samples of real text."""

from __future__ import annotations

import numpy as np

from pyro_textvae.assessment.bootstrap import Array, Interval
from pyro_textvae.assessment.judge import Judge, describe
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import Number
from pyro_textvae.assessment.sentences import Sentences


class Perplexity(Metric):
    r"""Forward and reverse perplexity, by exact likelihoods of language models; at least 1.

    .. math:: \exp\left(-\frac{\sum_n \log p_{\text{judge}}(x_n)}{\sum_n |x_n|}\right)

    Forward: the judge is trained on real text and scores samples. Reverse: it is trained on samples
    and scores real text. Tokens are the judge's, ``<eos>`` counted. Forward alone rewards the one
    likeliest sentence said a thousand times, so that as low as real text is right; reverse finds
    what samples lack, and is better when lower. The ceiling of both is beside: the judge on
    held-out text, and a model trained on as many real sentences.

    Source: Zhao et al. (2018), https://arxiv.org/abs/1706.04223; Cifka et al. (2018),
    https://arxiv.org/abs/1804.07972.
    """

    title = "language models"
    fewest = 20

    def measure(self, material: Material) -> list[Number]:
        """Both, each beside its ceiling."""
        judge = material.judge
        forward, interval, count = _perplexity(material, judge, material.samples)
        real, _, _ = _perplexity(material, judge, material.real)
        numbers = [
            Number(
                "forward_perplexity",
                "forward perplexity",
                forward,
                interval,
                count,
                "samples",
                digits=2,
                better="real",
                real=real,
                note=f"judge: {describe(judge.made)}",
                column="forward ppl",
            )
        ]
        student = material.judge_of_samples
        reverse, interval, count = _perplexity(material, student, material.real)
        ceiling, _, _ = _perplexity(material, material.judge_of_as_much_text, material.real)
        numbers.append(
            Number(
                "reverse_perplexity",
                "reverse perplexity",
                reverse,
                interval,
                count,
                "training_samples",
                digits=2,
                better="lower",
                real=ceiling,
                note=f"judge: {describe(student.made)}",
                column="reverse ppl",
            )
        )
        return numbers


def _perplexity(
    material: Material, judge: Judge, sentences: Sentences
) -> tuple[float, Interval | None, int]:
    log_probs, tokens = judge.log_probs(sentences)

    def perplexity(weights: Array) -> float:
        return float(np.exp(-(weights @ log_probs) / (weights @ tokens)))

    value, interval = material.bootstrap.statistic(perplexity, len(sentences))
    return value, interval, len(sentences)
