# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Networks: decoders, encoders and what they are made of."""

from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.decoders import (
    DilatedCNNDecoder,
    GRUDecoder,
    InputlessDecoder,
    LSTMDecoder,
    TransformerDecoder,
)
from pyro_textvae.nn.encoder import EmbeddingEncoder, Encoder
from pyro_textvae.nn.encoders import (
    BagOfWordsEncoder,
    CNNEncoder,
    GRUEncoder,
    LSTMEncoder,
    TransformerEncoder,
)
from pyro_textvae.nn.latent_attention import LatentAttention
from pyro_textvae.nn.word_and_latent_input import WordAndLatentInput

__all__ = [
    "BagOfWordsEncoder",
    "CNNEncoder",
    "Decoder",
    "DilatedCNNDecoder",
    "EmbeddingEncoder",
    "Encoder",
    "GRUDecoder",
    "GRUEncoder",
    "InputlessDecoder",
    "LSTMDecoder",
    "LSTMEncoder",
    "LatentAttention",
    "TransformerDecoder",
    "TransformerEncoder",
    "WordAndLatentInput",
]
