# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Networks: decoders, encoders and what they are made of."""

from pyro_textvae.nn.decoders import LSTMDecoder
from pyro_textvae.nn.encoder import Encoder
from pyro_textvae.nn.encoders import LSTMEncoder

__all__ = ["Encoder", "LSTMDecoder", "LSTMEncoder"]
