# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What methods that draw each token have in common: a temperature, then a truncation."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.config.checks import POSITIVE, check_argument
from pyro_textvae.distributions.autoregressive_categorical import draw_class
from pyro_textvae.generation.method import DecodingMethod


class TokenSampling(DecodingMethod):
    r"""Draws every token from its probability at a temperature, among those that are kept.

    .. math::
        q(w) \propto p(w)^{1/\tau}\, \mathbb{1}[w \in \text{kept}]

    A subclass says which are kept (:meth:`truncated`), of the distribution at that temperature.

    :param temperature: tau, above 0; below 1 likely tokens become likelier.
    :raises UserError: for a temperature that is not positive.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = check_argument("temperature", temperature, float, POSITIVE)

    def truncated(self, scores: Tensor) -> Tensor:
        """The scores ``(N, V)`` with ``-inf`` for tokens that are never drawn."""
        return scores

    def choose(self, scores: Tensor) -> Tensor:
        """One class drawn in each row, ``(N,)``."""
        if self.temperature != 1.0:
            scores = scores / self.temperature
        return draw_class(self.truncated(scores))
