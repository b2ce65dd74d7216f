# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Encoder networks, one a file; called with tokens (N, T), each returns features."""

from pyro_textvae.nn.encoders.lstm import LSTMEncoder

__all__ = ["LSTMEncoder"]
