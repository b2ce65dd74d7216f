# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Text compressed by a model to its evidence bound, and back, bit for bit."""

from pyro_textvae.compression.compress import Compressed, compress
from pyro_textvae.compression.decompress import decompress

__all__ = ["Compressed", "compress", "decompress"]
