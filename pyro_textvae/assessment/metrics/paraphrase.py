# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Paraphrases: near to a reference, not to the source, and of the same meaning."""

from __future__ import annotations

import numpy as np

from pyro_textvae.assessment.bootstrap import Array
from pyro_textvae.assessment.conditional import why_no_source, world_name
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import SHARE, Number
from pyro_textvae.assessment.overlap import bleu_counts, bleu_of_counts, bleu_signature

ALPHA = 0.8
"""Weight of the reference in iBLEU."""


class Paraphrase(Metric):
    r"""BLEU to the reference and to the source, iBLEU of both, and the share of true equivalents.

    .. math::
        \text{iBLEU} = \alpha \, \text{BLEU}(y, r) - (1 - \alpha) \, \text{BLEU}(y, x),
        \quad \alpha = 0.8

    BLEU of the whole text, from 0 to 100: to the reference higher is better, to the source as low
    as the references' own, which is beside; iBLEU up to 80. A source said again unchanged has a
    high BLEU to the reference. On world:paraphrase, the share of samples that one frame can have
    been said by together with their source, in [0, 1], higher is better: no overlap tells it.

    Source: Sun and Zhou (2012), https://aclanthology.org/P12-2008/.
    """

    title = "paraphrases"
    packages = ("sacrebleu",)
    worlds = ("paraphrase",)

    def why_not(self, material: Material) -> str | None:
        """For a model without a source."""
        return why_no_source(material)

    def measure(self, material: Material) -> list[Number]:
        """One sample for each source."""
        tokenizer = material.config.bleu_tokenizer
        texts, real, sources = (
            each.texts for each in (material.samples, material.real, material.sources)
        )
        to_reference = bleu_counts(texts, real, tokenizer=tokenizer)
        to_source = bleu_counts(texts, sources, tokenizer=tokenizer)
        of_reference = bleu_counts(real, sources, tokenizer=tokenizer)

        def reference(weights: Array) -> float:
            return bleu_of_counts(weights @ to_reference)

        def source(weights: Array) -> float:
            return bleu_of_counts(weights @ to_source)

        def ibleu(weights: Array) -> float:
            return ALPHA * reference(weights) - (1 - ALPHA) * source(weights)

        numbers = []
        for name, label, function, better, ceiling in (
            ("bleu_to_reference", "BLEU to the reference", reference, "higher", None),
            (
                "bleu_to_source",
                "BLEU to the source",
                source,
                "real",
                bleu_of_counts(of_reference.sum(0)),
            ),
            ("ibleu", f"iBLEU, alpha {ALPHA}", ibleu, "higher", None),
        ):
            value, interval = material.bootstrap.statistic(function, len(texts))
            numbers.append(
                Number(
                    name,
                    label,
                    value,
                    interval,
                    len(texts),
                    "samples",
                    digits=2,
                    better=better,  # type: ignore[arg-type]
                    real=ceiling,
                    bounds=(-100 * (1 - ALPHA), 100.0) if name == "ibleu" else (0.0, 100.0),
                    note=bleu_signature(tokenizer),
                    column="iBLEU" if name == "ibleu" else "",
                )
            )
        shares = {"copied_sources": ("the source unchanged", np.array(texts) == np.array(sources))}
        if world_name(material) == "paraphrase":
            is_paraphrase = material.corpus.world.is_paraphrase  # type: ignore[union-attr]
            pairs = zip(texts, sources, strict=True)
            equivalent = np.array([is_paraphrase(*pair) for pair in pairs])
            shares["equivalent"] = ("true equivalents", equivalent)
        for name, (label, values) in shares.items():
            value, interval = material.bootstrap.mean(values)
            numbers.append(
                Number(
                    name,
                    label,
                    value,
                    interval,
                    len(texts),
                    "samples",
                    bounds=SHARE,
                    better="higher" if name == "equivalent" else "lower",
                    column="equivalent" if name == "equivalent" else "",
                )
            )
        return numbers
