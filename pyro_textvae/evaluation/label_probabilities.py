# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Probabilities of the labels of sentences, from a likelihood that was summed over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.displayed import Displayed
from pyro_textvae.evaluation.classification import Classification
from pyro_textvae.evaluation.importance.result import LogLikelihood


@dataclass(frozen=True, repr=False)
class LabelProbabilities(Displayed):
    r"""What a model, and its guide, say of the labels of sentences.

    .. math::
        p(y \mid x) = \frac{p(x, y)}{\sum_{y'} p(x, y')}, \qquad
        p(x, y) \approx \frac{1}{K} \sum_k \frac{p(x, y, z_k)}{r(z_k \mid x, y)}

    names
        Of the labels, in the order of their indices.
    by_bayes
        log p(y | x) of the model, ``(N, C)``.
    standard_error
        Of each p(y | x), Monte Carlo, ``(N, C)``.
    by_guide
        log q(y | x) of the guide, ``(N, C)``; None for a guide without it.
    given
        The label that is given, by index, -1 where none is, ``(N,)``.
    """

    names: tuple[str, ...]
    by_bayes: Tensor
    standard_error: Tensor
    by_guide: Tensor | None
    given: Tensor

    @staticmethod
    def of(likelihood: LogLikelihood, names: tuple[str, ...]) -> LabelProbabilities | None:
        """Of what a likelihood was summed over; None where a label is not among that."""
        summed = likelihood.summed_out
        if summed is None:
            return None
        sites = summed.labels or summed.names
        for site in sites:
            by_bayes = summed.log_posterior(site)
            if by_bayes.shape[1] == len(names):
                break
        else:
            return None
        joint = summed.standard_error.nan_to_num(0.0)
        error = joint if joint.shape == by_bayes.shape else torch.zeros_like(by_bayes)
        probability = by_bayes.exp()
        # d p(y) = p(y) sum over c of ([c = y] - p(c)) d log p(x, c), the draws of each c its own.
        own = (1 - probability) ** 2 * error**2
        others = (probability**2 * error**2).sum(1, keepdim=True) - probability**2 * error**2
        given = summed.is_given.long().argmax(1).where(summed.labelled, -1)
        if summed.num_values != len(names):
            given = summed.choices[given.clamp(min=0), summed.names.index(site)].where(
                summed.labelled, -1
            )
        return LabelProbabilities(
            names=names,
            by_bayes=by_bayes,
            standard_error=probability * (own + others).sqrt(),
            by_guide=summed.log_posterior_by_guide(site),
            given=given,
        )

    def classifications(self, *, seed: int = 0) -> dict[str, Classification]:
        """How good each is on the sentences that have a label; empty where none has."""
        if not (self.given >= 0).any():
            return {}
        found = {"bayes": Classification.of(self.by_bayes, self.given, self.names, seed=seed)}
        if self.by_guide is not None:
            found["guide"] = Classification.of(self.by_guide, self.given, self.names, seed=seed)
        return found

    def to_dict(self, *, seed: int = 0) -> dict[str, Any]:
        """Those numbers as plain values, with the names of the labels; empty without any."""
        classifications = self.classifications(seed=seed)
        if not classifications:
            return {}
        parts = {name: each.to_dict() for name, each in classifications.items()}
        return {"labels": list(self.names), **parts}
