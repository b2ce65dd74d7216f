# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences that a method decoded, each with its log-probability under the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.displayed import Displayed


@dataclass(frozen=True, repr=False)
class Generated(Displayed):
    """Rows of ids and what they are worth.

    >>> rows = torch.tensor([[4, 2, 0], [5, 6, 2]])
    >>> generated = Generated(rows, torch.tensor([-1.0, -2.0]), torch.tensor([-0.5, -0.7]))
    >>> generated.map(lambda part: part[1:]).tokens
    tensor([[5, 6, 2]])

    :param tokens: ids ending in ``<eos>``, right-padded, ``(*B, max_length)``.
    :param log_prob: log p(x | z, source) of each, the text site's, nats, ``(*B,)``: whatever the
        method forbade or preferred. Of a row that was cut off before the model's own
        ``max_length``, the log-probability that a sentence begins so. NaN where the program
        computes its text, so that the text site has no distribution.
    :param score: what the method ranked by, ``(*B,)``; ``log_prob`` where it did not rank,
        of poems that keep to their form by masks that among what the masks leave.
    """

    tokens: Tensor
    log_prob: Tensor
    score: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Generated:
        """The sentences with ``function`` applied to each tensor."""
        return Generated(function(self.tokens), function(self.log_prob), function(self.score))

    @staticmethod
    def cat(parts: Sequence[Generated]) -> Generated:
        """All sentences of the parts, one after another."""
        return Generated(
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.log_prob for part in parts]),
            torch.cat([part.score for part in parts]),
        )
