# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Clusters against labels: normalised mutual information and purity."""

from __future__ import annotations

import torch
from torch import Tensor


def normalised_mutual_information(clusters: Tensor, labels: Tensor) -> float:
    r"""I(cluster; label) over the mean of the two entropies: 0 for independent, 1 for the same.

    .. math::
        \operatorname{NMI} = \frac{2 \, I(C; Y)}{H(C) + H(Y)}

    >>> normalised_mutual_information(torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 0, 0]))
    1.0

    :param clusters: of each text, ``(N,)`` int64.
    :param labels: of each text, ``(N,)`` int64.
    """
    joint = _counts(clusters, labels).double() / len(labels)
    of_clusters, of_labels = joint.sum(1), joint.sum(0)
    together = of_clusters[:, None] * of_labels
    information = torch.special.xlogy(joint, joint / together.where(joint > 0, 1.0)).sum()
    entropies = torch.special.entr(of_clusters).sum() + torch.special.entr(of_labels).sum()
    return 1.0 if entropies == 0 else (2 * information / entropies).item()


def purity(clusters: Tensor, labels: Tensor) -> float:
    """The share of texts that have the commonest label of their cluster.

    >>> purity(torch.tensor([0, 0, 0, 1]), torch.tensor([1, 1, 0, 0]))
    0.75

    :param clusters, labels: as in :func:`normalised_mutual_information`.
    """
    return _counts(clusters, labels).amax(1).sum().item() / len(labels)


def _counts(clusters: Tensor, labels: Tensor) -> Tensor:
    size = int(labels.max()) + 1
    pairs = clusters * size + labels
    return pairs.bincount(minlength=(int(clusters.max()) + 1) * size).view(-1, size)
