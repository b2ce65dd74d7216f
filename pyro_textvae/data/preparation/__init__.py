# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents to sentences, once, with counts; and the counts that were published."""

from pyro_textvae.data.preparation.prepare import Prepared, prepare
from pyro_textvae.data.preparation.published_counts import CheckedCounts, check_counts

__all__ = ["CheckedCounts", "Prepared", "check_counts", "prepare"]
