# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How alike samples are."""

from __future__ import annotations

from collections.abc import Sequence

from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import Number
from pyro_textvae.assessment.overlap import sentence_bleu

MOST = 200
"""Sentences that are held against each other: the score rises with their number."""


class SelfBleu(Metric):
    r"""BLEU of each sample with all others as its references, from 0 to 100.

    .. math:: \frac{1}{N} \sum_n \text{BLEU}(x_n; \{x_m : m \ne n\})

    Lower is more varied; real text says how varied is right. It rises with the number of
    references, so that the first 200 samples are taken, never more; its interval is over the
    sentences, with the references as they are.

    Source: Zhu et al. (2018), https://arxiv.org/abs/1802.01886.
    """

    title = "samples"
    packages = ("sacrebleu",)

    def measure(self, material: Material) -> list[Number]:
        """Of the first samples, beside that of as much real text."""
        tokenizer = material.config.bleu_tokenizer
        scores, signature = self_bleu(material.samples.texts[:MOST], tokenizer)
        real, _ = self_bleu(material.real.texts[:MOST], tokenizer)
        value, interval = material.bootstrap.mean(scores)
        return [
            Number(
                "self_bleu",
                "self-BLEU",
                value,
                interval,
                len(scores),
                "samples",
                digits=2,
                better="real",
                real=sum(real) / len(real),
                note=signature,
                bounds=(0.0, 100.0),
                column="self-BLEU",
            )
        ]


def self_bleu(texts: Sequence[str], tokenizer: str) -> tuple[list[float], str]:
    """BLEU of each text against all others, and the signature of ``sacrebleu``."""
    others = [[*texts[:place], *texts[place + 1 :]] for place in range(len(texts))]
    return sentence_bleu(texts, others, tokenizer=tokenizer)
