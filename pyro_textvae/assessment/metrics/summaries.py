# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Summaries of groups, beside the best reader's and the group's own first part."""

from __future__ import annotations

import numpy as np

from pyro_textvae.assessment.conditional import world_name
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.metrics.headlines import rouge
from pyro_textvae.assessment.number import SHARE, Number
from pyro_textvae.generation.summaries import why_no_summaries

_KINDS = {"rouge1": "ROUGE-1", "rougeL": "ROUGE-L"}


class Summaries(Metric):
    r"""ROUGE of a group's summary to its parts, and on world:reviews to the best reader's summary.

    .. math::
        \frac 1 N \sum_n \frac{1}{S_n} \sum_s \operatorname{ROUGE}(y_n, x_{ns})

    The F1 of :class:`~pyro_textvae.assessment.metrics.headlines.Headlines`, in [0, 1], without
    stemming; higher is better. Of groups of two parts and more, and beside it that of the first
    part in the place of the summary, to the other parts: the parts of a group differ, so the number
    is far below 1. The best reader says of every aspect what its posterior says is likelier.

    Source: Lin (2004), https://aclanthology.org/W04-1013/; computed by ``rouge-score``.
    """

    title = "summaries"
    packages = ("rouge_score",)
    worlds = ("reviews",)

    def why_not(self, material: Material) -> str | None:
        """For a model that writes no summaries."""
        return why_no_summaries(material.model)

    def measure(self, material: Material) -> list[Number]:
        """One summary for each group."""
        written = material.summaries.texts
        groups = material.groups
        of_several = [place for place, parts in enumerate(groups) if parts[1:]]
        parts: list[tuple[str, str, str, list[float]]] = []
        by_kind = {
            "summary": [_mean_rouge(written[place], groups[place]) for place in of_several],
            "first_part": [_mean_rouge(groups[n][0], groups[n][1:]) for n in of_several],
        }
        for kind, label in _KINDS.items():
            key = kind.replace("rouge", "rouge_").lower()
            for of, what in (
                ("summary", "to its group"),
                ("first_part", "of the first part to the others"),
            ):
                values = [each[kind] for each in by_kind[of]]
                parts.append((f"{of}_{key}", f"{label} {what}", of, values))
            if world_name(material) == "reviews":
                world = material.corpus.world
                references = [world.summary("\n".join(group)) for group in groups]  # type: ignore[union-attr]
                values = rouge(written, references)[kind]
                label = f"{label} to the best reader's"
                parts.append((f"summary_{key}_of_best_reader", label, "summary", values))
        numbers = []
        for name, label, of, values in parts:
            if not values:
                continue
            value, interval = material.bootstrap.mean(np.asarray(values))
            used = "summaries" if of == "summary" else material.config.split
            numbers.append(Number(name, label, value, interval, len(values), used, bounds=SHARE))
        return numbers


def _mean_rouge(text: str, references: list[str]) -> dict[str, float]:
    found = rouge([text] * len(references), references)
    return {kind: float(np.mean(values)) for kind, values in found.items()}
