# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Encoder networks, one a file; called with tokens (N, T), each returns features."""

from pyro_textvae.nn.encoders.bag_of_words import BagOfWordsEncoder
from pyro_textvae.nn.encoders.cnn import CNNEncoder
from pyro_textvae.nn.encoders.gru import GRUEncoder
from pyro_textvae.nn.encoders.lstm import LSTMEncoder
from pyro_textvae.nn.encoders.transformer import TransformerEncoder

__all__ = ["BagOfWordsEncoder", "CNNEncoder", "GRUEncoder", "LSTMEncoder", "TransformerEncoder"]
