# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What an encoder of sentences says of each sentence of a document."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.distributions import scorable_rows
from pyro_textvae.nn.encoder import Encoder
from pyro_textvae.nn.rows_there import of_rows_there


def features_of_sentences(encoder: Encoder, tokens: Tensor) -> Tensor:
    """The features of each sentence by itself, ``(N, S, encoder.output_dim)``.

    Where a document has no further sentence they are zero, and nothing is read.

    >>> import torch
    >>> from pyro_textvae.nn import GRUEncoder
    >>> encoder = GRUEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> features_of_sentences(encoder, torch.tensor([[[4, 5, 2], [6, 2, 0]]])).shape
    torch.Size([1, 2, 8])

    :param tokens: ``(N, S, T)``, of padding alone where there is no sentence.
    """
    return of_rows_there(encoder, tokens, scorable_rows(tokens)[1])
