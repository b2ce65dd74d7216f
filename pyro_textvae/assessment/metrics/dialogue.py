# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Replies to what was said before: several for each source."""

from __future__ import annotations

import numpy as np

from pyro_textvae.assessment.conditional import why_no_source, world_name
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import SHARE, Number
from pyro_textvae.assessment.overlap import sentence_bleu
from pyro_textvae.contract import LABELS
from pyro_textvae.data.world import World
from pyro_textvae.errors import UserError


class Dialogue(Metric):
    r"""BLEU precision and recall of several replies, how many differ, and their acts.

    .. math::
        P = \frac{1}{K} \sum_k \max_m \text{BLEU}(y_k, r_m), \qquad
        R = \frac{1}{M} \sum_m \max_k \text{BLEU}(y_k, r_m)

    for K replies and the M texts that the split has for the source, from 0 to 100, higher is
    better; recall rises with K. Most sources have one reference, which few of the possible replies
    match: both are low for the truth itself. Distinct replies, a share of K, are right when as many
    as the truth has. The act is that of the reference, judged by the exact posterior of
    world:dialogue where the corpus has labels, in [0, 1], higher is better.

    Source: Zhao et al. (2017), section 5.2, https://aclanthology.org/P17-1061/.
    """

    title = "replies"
    packages = ("sacrebleu",)
    worlds = ("dialogue",)

    def why_not(self, material: Material) -> str | None:
        """For a model without a source."""
        return why_no_source(material)

    def measure(self, material: Material) -> list[Number]:
        """Over the sources of the split that are looked at."""
        references: dict[str, list[str]] = {}
        for source, text in zip(material.sources.texts, material.real.texts, strict=True):
            references.setdefault(source, []).append(text)
        of_each = [sorted(set(references[source])) for source in material.sources.texts]
        replies = [[drawn.texts[n] for drawn in material.replies] for n in range(material.size)]
        precision, recall, signature = [], [], ""
        for texts, each in zip(replies, of_each, strict=True):
            pairs = [(text, reference) for text in texts for reference in each]
            scores, signature = sentence_bleu(
                [text for text, _ in pairs],
                [[reference] for _, reference in pairs],
                tokenizer=material.config.bleu_tokenizer,
            )
            table = np.array(scores).reshape(len(texts), len(each))
            precision.append(table.max(1).mean())
            recall.append(table.max(0).mean())
        distinct = [len(set(texts)) / len(texts) for texts in replies]
        parts = [
            ("bleu_precision", "BLEU precision", precision, 2, "higher", signature),
            ("bleu_recall", "BLEU recall", recall, 2, "higher", signature),
            ("distinct_replies", "distinct replies", distinct, 3, "real", ""),
        ]
        if LABELS in material.batch and world_name(material) == "dialogue":
            world = material.corpus.world
            assert world is not None
            acts = [
                np.mean([_share_of_act(world, source, text, label) for text in texts])
                for source, texts, label in zip(
                    material.sources.texts, replies, _labels(material), strict=True
                )
            ]
            parts.append(("act_accuracy", "act of the reference", acts, 3, "higher", ""))
        numbers = []
        for name, label, values, digits, better, note in parts:
            value, interval = material.bootstrap.mean(np.array(values))
            numbers.append(
                Number(
                    name,
                    label,
                    value,
                    interval,
                    len(replies),
                    "replies",
                    digits=digits,
                    better=better,  # type: ignore[arg-type]
                    note=note,
                    bounds=(0.0, 100.0) if "bleu" in name else SHARE,
                    column="act" if name == "act_accuracy" else "",
                )
            )
        return numbers


def _labels(material: Material) -> list[str]:
    names = material.corpus.label_names
    return [names[int(index)] for index in material.batch[LABELS]]


def _share_of_act(world: World, source: str, text: str, label: str) -> float:
    """The probability that a reply has an act; 0 for what the world never says."""
    try:
        posterior: dict[str, float] = world.act_posterior(source, text)  # type: ignore[attr-defined]
    except UserError:
        return 0.0
    return posterior[label]
