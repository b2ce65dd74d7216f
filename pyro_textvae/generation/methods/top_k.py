# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tokens drawn among the k likeliest."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.config.checks import at_least, check_argument
from pyro_textvae.generation.largest import largest
from pyro_textvae.generation.token_sampling import TokenSampling


class TopK(TokenSampling):
    """Draws every token among the ``top_k`` likeliest; all that are as likely as the last are in.

    >>> import torch
    >>> TopK(top_k=1).choose(torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]))
    tensor([1, 0])

    Source: Fan et al. (2018), Hierarchical Neural Story Generation,
    https://aclanthology.org/P18-1082/.

    :param top_k: at least 1; the vocabulary's size or more keeps all.
    :param temperature: see :class:`~pyro_textvae.generation.token_sampling.TokenSampling`.
    :raises UserError: for a value out of range.
    """

    def __init__(self, top_k: int = 50, temperature: float = 1.0) -> None:
        super().__init__(temperature)
        self.top_k = check_argument("top_k", top_k, int, at_least(1))

    def truncated(self, scores: Tensor) -> Tensor:
        """See :class:`~pyro_textvae.generation.token_sampling.TokenSampling`."""
        if self.top_k >= scores.shape[-1]:
            return scores
        last = largest(scores, self.top_k)[0][:, -1:]
        return scores.masked_fill(scores < last, -float("inf"))
