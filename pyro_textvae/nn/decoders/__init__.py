# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoder networks, one a file; called with z, each returns p(x | z)."""

from pyro_textvae.nn.decoders.lstm import LSTMDecoder

__all__ = ["LSTMDecoder"]
