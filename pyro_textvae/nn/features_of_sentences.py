# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What an encoder of sentences says of each sentence of a document."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.nn.encoder import Encoder


def features_of_sentences(encoder: Encoder, rows: Tensor) -> Tensor:
    """The features of each row by itself, ``(N, S, encoder.output_dim)``.

    >>> import torch
    >>> from pyro_textvae.nn import GRUEncoder
    >>> encoder = GRUEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> features_of_sentences(encoder, torch.tensor([[[4, 5, 2], [6, 2, 0]]])).shape
    torch.Size([1, 2, 8])

    :param rows: ``(N, S, T)``.
    """
    features: Tensor = encoder(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
    return features
