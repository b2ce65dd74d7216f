# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A collection of text seen and searched through its latents, in a local page."""

from pyro_textvae.explore.collection import Collection
from pyro_textvae.explore.open_collection import open_collection

__all__ = ["Collection", "open_collection"]
