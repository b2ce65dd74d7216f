# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Headlines of articles, beside the article's own beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyro_textvae.assessment.conditional import why_no_source, world_name
from pyro_textvae.assessment.extra import package
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import SHARE, Number

_KINDS = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}


class Headlines(Metric):
    r"""ROUGE to the reference, of samples and of the lead; words copied, and names copied right.

    .. math::
        \text{ROUGE-}n = \frac{2 P R}{P + R}, \quad P = \frac{m_n}{\#_n(y)}, \;
        R = \frac{m_n}{\#_n(r)}

    with :math:`m_n` the n-grams that both have; of ROUGE-L, the longest common subsequence. The F1
    of each text, in [0, 1], their mean, without stemming; higher is better. The lead is the
    headline of the first event on world:headlines, elsewhere as many first words of the source as a
    reference has: a system below it has learnt nothing. Copied words, a share, are right when as
    many as the references'. The name of the reference, in [0, 1], and where it is one that training
    never had, on world:headlines alone.

    Source: Lin (2004), https://aclanthology.org/W04-1013/; computed by ``rouge-score``.
    """

    title = "headlines"
    packages = ("rouge_score",)
    worlds = ("headlines",)

    def why_not(self, material: Material) -> str | None:
        """For a model without a source."""
        return why_no_source(material)

    def measure(self, material: Material) -> list[Number]:
        """One sample for each source."""
        real, samples, sources = material.real, material.samples, material.sources
        of_samples = rouge(samples.texts, real.texts)
        of_lead = rouge(_leads(material), real.texts)
        parts: list[tuple[str, str, Any, str, float | None]] = []
        for kind, label in _KINDS.items():
            key = kind.replace("rouge", "rouge_").lower()
            parts += [
                (key, label, of_samples[kind], "higher", None),
                (f"{key}_of_lead", f"{label} of the lead", of_lead[kind], "higher", None),
            ]
        copied = _copied(samples.words, sources.words)
        of_references = float(np.nanmean(_copied(real.words, sources.words)))
        parts.append(("copied_from_source", "words of the source", copied, "real", of_references))
        if world_name(material) == "headlines":
            parts += _names(material)
        numbers = []
        for name, label, values, better, ceiling in parts:
            values = np.asarray(values, dtype=float)
            values = values[~np.isnan(values)]
            if not len(values):
                continue
            value, interval = material.bootstrap.mean(values)
            numbers.append(
                Number(
                    name,
                    label,
                    value,
                    interval,
                    len(values),
                    "sources" if name.endswith("_of_lead") else "samples",
                    better=better,  # type: ignore[arg-type]
                    real=ceiling,
                    bounds=SHARE,
                    column={"rouge_l": "ROUGE-L", "names_right": "names"}.get(name, ""),
                )
            )
        return numbers


def rouge(texts: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    """F1 of each text by kind.

    >>> round(rouge(["a b c"], ["a b d"])["rouge1"][0], 4)
    0.6667

    :raises UserError: without ``rouge-score``.
    """
    scorer = package("rouge_score.rouge_scorer").RougeScorer(list(_KINDS), use_stemmer=False)
    scores = [scorer.score(ref, text) for text, ref in zip(texts, references, strict=True)]
    return {kind: [score[kind].fmeasure for score in scores] for kind in _KINDS}


def _leads(material: Material) -> list[str]:
    sources = material.sources
    if world_name(material) == "headlines":
        lead = material.corpus.world.lead  # type: ignore[union-attr]
        return [lead(source) for source in sources.texts]
    size = round(float(np.mean([len(words) for words in material.real.words])))
    return [" ".join(words[:size]) for words in sources.words]


def _copied(
    texts: Sequence[Sequence[str]], sources: Sequence[Sequence[str]]
) -> np.ndarray[Any, Any]:
    """The share of each text's words that its source has; NaN without words."""
    return np.array(
        [
            np.mean([word in set(source) for word in words]) if words else np.nan
            for words, source in zip(texts, sources, strict=True)
        ]
    )


def _names(material: Material) -> list[tuple[str, str, Any, str, float | None]]:
    world: Any = material.corpus.world
    names = [world.name_of(text) for text in material.real.texts]
    right = np.array(
        [
            float(world.name_of(text) == name)
            for text, name in zip(material.samples.texts, names, strict=True)
        ]
    )
    unseen = np.array([name in world.unseen_names for name in names])
    of_unseen = np.where(unseen, right, np.nan)
    return [
        ("names_right", "name of the reference", right, "higher", None),
        ("unseen_names_right", "name of the reference, unseen", of_unseen, "higher", None),
    ]
