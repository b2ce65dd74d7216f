# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Fewer labels than a corpus has: what would be learned from so few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_textvae.contract import NOT_GIVEN
from pyro_textvae.errors import UserError


def hide_labels(labels: np.ndarray, share: float, seed: int, names: Sequence[str]) -> np.ndarray:
    """The labels with all but a share of those that are given hidden, ``(N,)``.

    Which ones stay depends on the seed alone, and those of a smaller share are among those of a
    larger one.

    >>> labels = np.array([0, 1, -1, 0, 1, 0, 1, 0, 1])
    >>> few, more = (hide_labels(labels, share, 0, ("a", "b")) for share in (0.5, 0.75))
    >>> int((few >= 0).sum()), int((more >= 0).sum()), bool((more[few >= 0] >= 0).all())
    (4, 6, True)

    :param labels: by index, -1 where none is given.
    :param share: above 0, at most 1.
    :param names: of the labels, for messages.
    :raises UserError: where a label would be left with no sentence.
    """
    given = np.flatnonzero(labels != NOT_GIVEN)
    order = np.random.default_rng([seed]).permutation(given)
    kept = order[: round(share * len(given))]
    fewer = np.full_like(labels, NOT_GIVEN)
    fewer[kept] = labels[kept]
    for index, name in enumerate(names):
        if not (fewer == index).any():
            raise UserError(
                f"labelled_share={share} with labelled_seed={seed} keeps {len(kept)} labels of the "
                f"train split, none of them {name!r}: keep more, or take another seed"
            )
    return fewer
