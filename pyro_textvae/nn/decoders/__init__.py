# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoder networks, one a file; called with z, each returns p(x | z)."""

from pyro_textvae.nn.decoders.bag_of_words import BagOfWordsDecoder
from pyro_textvae.nn.decoders.dilated_cnn import DilatedCNNDecoder
from pyro_textvae.nn.decoders.gru import GRUDecoder
from pyro_textvae.nn.decoders.inputless import InputlessDecoder
from pyro_textvae.nn.decoders.lstm import LSTMDecoder
from pyro_textvae.nn.decoders.transformer import TransformerDecoder

__all__ = [
    "BagOfWordsDecoder",
    "DilatedCNNDecoder",
    "GRUDecoder",
    "InputlessDecoder",
    "LSTMDecoder",
    "TransformerDecoder",
]
