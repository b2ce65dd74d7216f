# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One batch whose sentences several processes share, or one process takes in parts."""

from pyro_textvae.shared_batch.draws import SharedDraws
from pyro_textvae.shared_batch.layout import (
    can_be_picked,
    drawn_for_all_at_once,
    of_sentences,
    rows_of_mask,
    text_scored,
)
from pyro_textvae.shared_batch.share import Share, present_share, sharing
from pyro_textvae.shared_batch.sites import SiteLayouts
from pyro_textvae.shared_batch.whole_batch import (
    drawn_for_whole_batch,
    field_of_whole_batch,
    first_of_own_rows,
    size_of_batch,
    whole_batch,
)

__all__ = [
    "Share",
    "SharedDraws",
    "SiteLayouts",
    "can_be_picked",
    "drawn_for_all_at_once",
    "drawn_for_whole_batch",
    "field_of_whole_batch",
    "first_of_own_rows",
    "of_sentences",
    "present_share",
    "rows_of_mask",
    "sharing",
    "size_of_batch",
    "text_scored",
    "whole_batch",
]
