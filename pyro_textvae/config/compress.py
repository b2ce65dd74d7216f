# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the settings of compression must satisfy."""

from pyro_textvae.config.checks import Condition

LATENT_BITS = Condition("lie in 1 to 16", lambda value: 1 <= value <= 16)
BLOCK_SIZE = Condition("lie in 1 to 4,096", lambda value: 1 <= value <= 4096)
