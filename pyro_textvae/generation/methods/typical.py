# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tokens drawn among those whose surprise is nearest to what is expected."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.config.checks import FACTOR, check_argument
from pyro_textvae.generation.kept_by_mass import kept_by_mass
from pyro_textvae.generation.token_sampling import TokenSampling


class Typical(TokenSampling):
    r"""Draws every token among those nearest to the entropy that have ``typical_p`` together.

    .. math::
        \text{kept: the fewest } w \text{ of the smallest } \left|-\log p(w) - H(p)\right|
        \text{ with } \sum_w p(w) \ge \text{typical\_p}

    The likeliest token is left out where it is too little of a surprise.

    >>> import torch
    >>> scores = torch.tensor([[0.9, 0.05, 0.03, 0.02]]).log()
    >>> Typical(typical_p=0.5).truncated(scores).exp()
    tensor([[0.9000, 0.0000, 0.0000, 0.0000]])

    Source: Meister et al. (2023), Locally Typical Sampling, https://arxiv.org/abs/2202.00666.

    :param typical_p: in (0, 1]; 1 keeps all.
    :param temperature: see :class:`~pyro_textvae.generation.token_sampling.TokenSampling`.
    :raises UserError: for a value out of range.
    """

    def __init__(self, typical_p: float = 0.95, temperature: float = 1.0) -> None:
        super().__init__(temperature)
        self.typical_p = check_argument("typical_p", typical_p, float, FACTOR)

    def truncated(self, scores: Tensor) -> Tensor:
        """See :class:`~pyro_textvae.generation.token_sampling.TokenSampling`."""
        if self.typical_p == 1.0:
            return scores
        log_prob = scores.log_softmax(-1)
        probabilities = log_prob.exp()
        # What is forbidden has no probability, and 0 log 0 is 0.
        entropy = -(probabilities * log_prob).nan_to_num(0.0).sum(-1, keepdim=True)
        kept = kept_by_mass((log_prob + entropy).abs(), probabilities, self.typical_p)
        return scores.masked_fill(~kept, -float("inf"))
