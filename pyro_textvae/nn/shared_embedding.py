# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One table of word vectors for a source and the text that is made of it."""

from __future__ import annotations

from typing import Any

from torch import nn

from pyro_textvae.errors import UserError
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.encoder import Encoder


def share_embedding(encoder: Encoder, decoder: Decoder) -> None:
    """Let an encoder of sources read words by the vectors that the decoder has for them.

    A word that training never has keeps the vector that it was given at first. In tables of their
    own those of encoder and decoder have nothing in common, so that a decoder which has copied a
    name cannot find again where the source tells of it; in one table it can. They are drawn anew,
    about as long as training makes the others, or they would be overlooked beside them.

    >>> from pyro_textvae.nn import GRUDecoder, GRUEncoder
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    >>> encoder = GRUEncoder(**sizes)
    >>> decoder = GRUDecoder(**sizes, latent_dim=0, max_length=6, memory_dim=8)
    >>> share_embedding(encoder, decoder)
    >>> encoder.embedding is decoder.embedding
    True

    :raises UserError: for parts that embed words by something else than a table, or by tables of
        different sizes.
    """
    of_source: Any = getattr(encoder, "embedding", None)
    of_text: Any = decoder.embedding
    if not (isinstance(of_source, nn.Embedding) and isinstance(of_text, nn.Embedding)):
        raise UserError(
            f"shared_embedding needs a table of word vectors in both parts, and "
            f"{type(encoder).__name__} and {type(decoder).__name__} do not both have one: leave it "
            "out"
        )
    if of_source.weight.shape != of_text.weight.shape:
        raise UserError(
            "shared_embedding needs tables of one size, and those of encoder and decoder are "
            f"{tuple(of_source.weight.shape)} and {tuple(of_text.weight.shape)}: give them one "
            "embedding_dim"
        )
    nn.init.normal_(of_text.weight, std=of_text.embedding_dim**-0.5)
    encoder.embedding = of_text
