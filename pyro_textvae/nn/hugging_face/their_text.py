# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Rows of our ids as a pre-trained encoder reads them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.data import Tokenizer
from pyro_textvae.data.hugging_face import Vocabulary
from pyro_textvae.data.hugging_face.vocabulary import ABSENT
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import EOS


class TheirText(nn.Module):
    """Ids of the pre-trained model for rows of ours: by a table where both have the same tokens.

    Otherwise the text is decoded and encoded again.

    :param vocabulary: of the pre-trained model.
    :param tokenizer: of the rows.
    :param most_places: the longest row that the model reads; None for no limit.
    """

    table: Tensor

    def __init__(
        self, vocabulary: Vocabulary, tokenizer: Tokenizer, most_places: int | None
    ) -> None:
        super().__init__()
        self.before, self.after = vocabulary.around_text()
        self.by_table = (
            tokenizer.content_digest == vocabulary.content_digest and len(self.after) <= 1
        )
        self.tokenizer = tokenizer
        self.backend = vocabulary.original()
        self.most_places = most_places
        self.name = str(vocabulary.folder)
        their_ids = vocabulary.their_ids
        end = self.after[0] if len(self.after) == 1 else their_ids[EOS]
        ids = [end if index == ABSENT else index for index in their_ids]
        # What ends a row of ours ends one of theirs.
        ids[EOS] = end
        self.register_buffer("table", torch.tensor(ids), persistent=False)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Their ids of ``tokens`` ``(N, T)``, and a mask of the places that count, ``(N, S)``."""
        if self.by_table:
            ids = self.table[tokens]
            start = torch.tensor(self.before, dtype=torch.long, device=ids.device)
            ids = torch.cat([start.expand(len(ids), -1), ids], -1)
            mask = torch.cat([mask.new_ones(len(mask), len(self.before)), mask], -1)
        else:
            ids, mask = self._encode_again(tokens)
        if self.most_places is not None and ids.shape[-1] > self.most_places:
            raise UserError(
                f"a text has {ids.shape[-1]} tokens for {self.name}, which reads at most "
                f"{self.most_places}: give a smaller --max-length"
            )
        return ids, mask

    def _encode_again(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        # A copy of it, such as copy.deepcopy makes, has lost this.
        self.backend.encode_special_tokens = True
        texts = [self.tokenizer.decode(row) for row in tokens.tolist()]
        rows = [encoding.ids for encoding in self.backend.encode_batch(texts)]
        # A model has to see something of a text without a token, too.
        rows = [row or [int(self.table[EOS])] for row in rows]
        longest = max(map(len, rows), default=1)
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(longest) < lengths.unsqueeze(-1)
        return ids.to(tokens.device), mask.to(tokens.device)
