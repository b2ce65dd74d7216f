# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts as rows of ids."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.data import Tokenizer, pad
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import EOS


def rows_of(
    tokenizer: Tokenizer,
    texts: list[str],
    what: str,
    max_length: int | None = None,
    given: Tensor | None = None,
) -> Tensor:
    """The ids of texts, ``(N, T)``, each ending in ``<eos>``.

    :param what: the texts are called in messages.
    :param max_length: tokens that the model takes at most, ``<eos>`` counted.
    :param given: the rows of their sources, for texts; None for what are sources, or have none.
    :raises UserError: for a text without a word, or a longer one, with its index.
    """
    if given is None:
        encoded = tokenizer.encode_sources(texts)
    else:
        encoded = tokenizer.encode_given(texts, given.tolist())
    rows = [[*row.tolist(), EOS] for row in encoded]
    for index, row in enumerate(rows):
        if len(row) == 1:
            raise UserError(f"{what}[{index}] has no word: leave it out")
        if max_length is not None and len(row) > max_length:
            raise UserError(
                f"{what}[{index}] has {len(row)} tokens, <eos> counted, and the model takes "
                f"{max_length}: cut it, or fit with a larger max_length"
            )
    return pad(rows)
