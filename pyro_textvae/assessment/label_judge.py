# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A judge of labels, which has seen no text that it judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyro_textvae.assessment.extra import package


class LabelJudge:
    """Logistic regression on the words, and pairs of neighbours, that a text has.

    >>> judge = LabelJudge(["yes indeed", "oh yes", "no never", "oh no"], ["y", "y", "n", "n"])
    >>> judge.agrees(["yes", "no"], ["y", "y"]).tolist()
    [True, False]

    Computed by ``scikit-learn``.

    :param texts: what it learns from, of another split than it judges.
    :param labels: of each, two different ones at least.
    """

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        features = package("sklearn.feature_extraction.text").CountVectorizer(
            tokenizer=str.split,
            token_pattern=None,
            lowercase=False,
            ngram_range=(1, 2),
            binary=True,
        )
        regression = package("sklearn.linear_model").LogisticRegression(max_iter=1000)
        self._judge: Any = package("sklearn.pipeline").make_pipeline(features, regression)
        self._judge.fit(list(texts), list(labels))

    def agrees(self, texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
        """Whether the likeliest label of each text is this one, ``(N,)``."""
        judged: np.ndarray = self._judge.predict(list(texts)) == np.array(labels)
        return judged
