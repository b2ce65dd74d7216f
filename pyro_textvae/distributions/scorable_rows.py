# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentences of documents of different length, as rows that can all be scored."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.special_tokens import EOS, PAD


def scorable_rows(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of which each is a text, and which of them the documents have.

    A row of padding alone stands where a document has no further sentence. No distribution over
    text has it in its support, so here it is the text of ``<eos>`` alone, to be masked.

    >>> rows, given = scorable_rows(torch.tensor([[[5, 2], [6, 2]], [[5, 2], [0, 0]]]))
    >>> rows.tolist(), given.tolist()
    ([[[5, 2], [6, 2]], [[5, 2], [2, 0]]], [[True, True], [True, False]])

    :param tokens: ``(N, S, T)``, or with other dimensions before the last one.
    :returns: ids like ``tokens``, and True for the sentences that there are, ``(N, S)``.
    """
    given = (tokens != PAD).any(-1)
    first = torch.where(given, tokens[..., 0], EOS).unsqueeze(-1)
    return torch.cat([first, tokens[..., 1:]], -1), given
