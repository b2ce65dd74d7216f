# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tokens drawn among the likeliest that have a given probability together."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.config.checks import FACTOR, check_argument
from pyro_textvae.generation.kept_by_mass import kept_by_mass
from pyro_textvae.generation.token_sampling import TokenSampling


class Nucleus(TokenSampling):
    r"""Draws every token among the fewest likeliest whose probability is at least ``top_p``.

    .. math::
        \text{kept} = \{w : \sum_{v : p(v) > p(w)} p(v) < \text{top\_p}\}

    >>> import torch
    >>> scores = torch.tensor([[0.5, 0.3, 0.2]]).log()
    >>> Nucleus(top_p=0.6).truncated(scores).exp()
    tensor([[0.5000, 0.3000, 0.0000]])

    Source: Holtzman et al. (2020), The Curious Case of Neural Text Degeneration,
    https://arxiv.org/abs/1904.09751.

    :param top_p: in (0, 1]; 1 keeps all.
    :param temperature: see :class:`~pyro_textvae.generation.token_sampling.TokenSampling`.
    :raises UserError: for a value out of range.
    """

    def __init__(self, top_p: float = 0.9, temperature: float = 1.0) -> None:
        super().__init__(temperature)
        self.top_p = check_argument("top_p", top_p, float, FACTOR)

    def truncated(self, scores: Tensor) -> Tensor:
        """See :class:`~pyro_textvae.generation.token_sampling.TokenSampling`."""
        if self.top_p == 1.0:
            return scores
        log_prob = scores.log_softmax(-1)
        kept = kept_by_mass(-log_prob, log_prob.exp(), self.top_p)
        return scores.masked_fill(~kept, -float("inf"))
