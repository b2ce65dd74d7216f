# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentences of the highest score that a search of bounded width finds."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_textvae.config.checks import FINITE, Condition, at_least, check_argument
from pyro_textvae.distributions.autoregressive_categorical import likeliest_class
from pyro_textvae.errors import UserError
from pyro_textvae.generation.beams import search_beams
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.method import DecodingMethod

_NOT_NEGATIVE = Condition("be at least 0", lambda value: value >= 0)


class Beam(DecodingMethod):
    r"""Keeps the ``num_beams`` likeliest beginnings at every place, and the best sentences of them.

    .. math::
        \text{score}(x) = \frac{\sum_t \log p(x_t \mid x_{<t}, z)}{|x|^{\text{length\_penalty}}}

    summed and counted over the tokens after the prefix, ``<eos>`` among them. It goes on until no
    open beginning can reach the score of what is returned, however it ends.

    With ``num_beam_groups`` the beams are searched in groups, one after another at every place, and
    a token that n beams of the groups before have just taken loses ``n * diversity_penalty`` nats
    of the score; not of ``log_prob``, which is always the model's.

    >>> import torch
    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=7
    ... )
    >>> method = Beam(num_beams=4, num_return_sequences=2)
    >>> method.generate(decoder(torch.zeros(3, 3)), Constraints()).tokens.shape
    torch.Size([2, 3, 7])

    Source: Wu et al. (2016), Google's Neural Machine Translation System,
    https://arxiv.org/abs/1609.08144, for a penalty of lengths; the one here is that of
    ``transformers``. Vijayakumar et al. (2018), Diverse Beam Search,
    https://arxiv.org/abs/1610.02424, with the Hamming diversity.

    :param num_beams: at least 1, which is greedy.
    :param length_penalty: 0 ranks by log-probability, 1 by the mean of the tokens'; above 0 longer
        sentences gain.
    :param num_return_sequences: sentences for each row, the best first; at most ``num_beams``.
    :param num_beam_groups: groups, which must divide ``num_beams``.
    :param diversity_penalty: nats, at least 0.
    :raises UserError: for a value out of range.
    """

    is_random = False

    def __init__(
        self,
        num_beams: int = 5,
        length_penalty: float = 1.0,
        num_return_sequences: int = 1,
        num_beam_groups: int = 1,
        diversity_penalty: float = 0.0,
    ) -> None:
        self.num_beams = self.num_rows = check_argument("num_beams", num_beams, int, at_least(1))
        self.length_penalty = check_argument("length_penalty", length_penalty, float, FINITE)
        self.num_return_sequences = check_argument(
            "num_return_sequences", num_return_sequences, int, at_least(1)
        )
        self.num_beam_groups = check_argument("num_beam_groups", num_beam_groups, int, at_least(1))
        self.diversity_penalty = check_argument(
            "diversity_penalty", diversity_penalty, float, FINITE, _NOT_NEGATIVE
        )
        if self.num_return_sequences > self.num_beams:
            raise UserError(
                f"num_return_sequences={num_return_sequences} is more than num_beams={num_beams}"
            )
        if self.num_beams % self.num_beam_groups:
            raise UserError(
                f"num_beams={num_beams} must be a multiple of num_beam_groups={num_beam_groups}"
            )
        if self.diversity_penalty and self.num_beam_groups == 1:
            raise UserError(
                f"diversity_penalty={diversity_penalty} is between groups: give num_beam_groups, "
                "at least 2"
            )

    def choose(self, scores: Tensor) -> Tensor:
        """What a beam of one takes: the class of the highest score in each row, ``(N,)``."""
        return likeliest_class(scores)

    def generate(self, text: Any, constraints: Constraints) -> Generated:
        """See :class:`~pyro_textvae.generation.DecodingMethod`."""
        return search_beams(
            text,
            constraints,
            num_beams=self.num_beams,
            length_penalty=self.length_penalty,
            num_return_sequences=self.num_return_sequences,
            num_groups=self.num_beam_groups,
            diversity_penalty=self.diversity_penalty,
        )
