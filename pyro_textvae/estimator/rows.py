# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts as rows of ids."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.data import Tokenizer, pad
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import EOS


def rows_of(
    tokenizer: Tokenizer, texts: list[str], what: str, max_length: int | None = None
) -> Tensor:
    """The ids of texts, ``(N, T)``, each ending in ``<eos>``.

    :param what: the texts are called in messages.
    :param max_length: tokens that the model takes at most, ``<eos>`` counted.
    :raises UserError: for a text without a word, or a longer one, with its index.
    """
    rows = [[*row.tolist(), EOS] for row in tokenizer.encode_batch(texts)]
    for index, row in enumerate(rows):
        if len(row) == 1:
            raise UserError(f"{what}[{index}] has no word: leave it out")
        if max_length is not None and len(row) > max_length:
            raise UserError(
                f"{what}[{index}] has {len(row)} tokens, <eos> counted, and the model takes "
                f"{max_length}: cut it, or fit with a larger max_length"
            )
    return pad(rows)
