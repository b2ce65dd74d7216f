# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Topics against those that the text was drawn from, whatever their order."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.errors import UserError


def matched_total_variation(topics: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    r"""Half the sum of absolute differences of each true topic to the topic that is matched to it.

    The matching, one to one, is that of the least sum. Where there are fewer topics than true ones,
    a true topic without one has 1, the most that there is.

    .. math::
        \operatorname{TV}_k = \tfrac12 \sum_v |\beta_{\pi(k) v} - \beta^*_{k v}|

    >>> truth = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    >>> distance, match = matched_total_variation(truth.flip(0), truth)
    >>> distance.tolist(), match.tolist()
    ([0.0, 0.0], [1, 0])

    :param topics: probabilities of words, ``(K, V)``.
    :param truth: likewise ``(M, V)``.
    :returns: the distances, ``(M,)``, and the number of the topic that each true one is matched to,
        -1 where there is none, ``(M,)``.
    :raises UserError: where scipy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise UserError(
            "matching topics needs scipy, which is not installed: pip install 'pyro-textvae[eval]'"
        ) from error
    distances = 0.5 * (truth.unsqueeze(1) - topics).abs().sum(-1)
    rows, columns = linear_sum_assignment(distances.double().numpy())
    distance, match = torch.ones(len(truth)), torch.full((len(truth),), -1)
    distance[rows] = distances[rows, columns].to(distance)
    match[rows] = torch.as_tensor(columns)
    return distance, match
