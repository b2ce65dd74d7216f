# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The guide that docs/priors-and-guides.md shows, as a reader would use it."""

import re
from pathlib import Path

from pyro_textvae.nn import BagOfWordsEncoder
from pyro_textvae.testing import check_guide

PAGE = Path(__file__).parents[2] / "docs" / "priors-and-guides.md"


def test_guide_of_a_readers_own_keeps_the_contract(pair):
    (shown,) = re.findall(r"```python\n(# mine\.py.*?)```", PAGE.read_text(), re.DOTALL)
    written = {}
    exec(shown, written)
    encoder = BagOfWordsEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    check_guide(written["LaplaceGuide"](encoder, latent_dim=2), pair[0])
