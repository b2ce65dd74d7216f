# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Replies to what was said before: several for each source."""

from __future__ import annotations

import math

import numpy as np

from pyro_textvae.assessment.conditional import why_no_source, world_name
from pyro_textvae.assessment.label_judge import LabelJudge
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
    as the truth has. The act is that of the reference, where the corpus has labels, in [0, 1],
    higher is better: judged by the exact posterior of world:dialogue, elsewhere by a
    :class:`~pyro_textvae.assessment.label_judge.LabelJudge` of another split, whose share of right
    judgements of the references themselves stands beside.

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
        acts, of_references, judge = _acts(material, replies)
        if acts is not None:
            parts.append(("act_accuracy", "act of the reference", acts, 3, "higher", judge))
        numbers = []
        for name, label, values, digits, better, note in parts:
            known = np.array(values)[~np.isnan(values)]
            value, interval = material.bootstrap.mean(known)
            numbers.append(
                Number(
                    name,
                    label,
                    value,
                    interval,
                    len(known),
                    "replies",
                    digits=digits,
                    better=better,  # type: ignore[arg-type]
                    real=of_references if name == "act_accuracy" else None,
                    note=note,
                    bounds=(0.0, 100.0) if "bleu" in name else SHARE,
                    column="act" if name == "act_accuracy" else "",
                )
            )
        return numbers


def _acts(
    material: Material, replies: list[list[str]]
) -> tuple[list[float] | None, float | None, str]:
    """The share of each source's replies with the act of its reference; of the references; by whom.

    NaN where the reference has no act; None where nobody can judge.
    """
    if LABELS not in material.batch:
        return None, None, ""
    names = material.corpus.label_names
    labels = [names[int(i)] if i >= 0 else None for i in material.batch[LABELS]]
    shares = [math.nan] * len(labels)
    if world_name(material) == "dialogue":
        world = material.corpus.world
        assert world is not None
        for place, (source, label) in enumerate(zip(material.sources.texts, labels, strict=True)):
            if label is not None:
                of_each = [_share_of_act(world, source, text, label) for text in replies[place]]
                shares[place] = float(np.mean(of_each))
        return shares, None, ""
    texts, their_labels = material.labelled_elsewhere
    places = [place for place, label in enumerate(labels) if label is not None]
    if len(set(their_labels)) < 2 or not places:
        return None, None, ""
    judge = LabelJudge(texts, their_labels)
    for place in places:
        agrees = judge.agrees(replies[place], [str(labels[place])] * len(replies[place]))
        shares[place] = float(agrees.mean())
    real = [material.real.texts[place] for place in places]
    of_references = judge.agrees(real, [str(labels[place]) for place in places]).mean()
    note = f"logistic regression on words and pairs of words of {len(texts)} replies"
    return shares, float(of_references), note


def _share_of_act(world: World, source: str, text: str, label: str) -> float:
    """The probability that a reply has an act; 0 for what the world never says."""
    try:
        posterior: dict[str, float] = world.act_posterior(source, text)  # type: ignore[attr-defined]
    except UserError:
        return 0.0
    return posterior[label]
