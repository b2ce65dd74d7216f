# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a careless hand makes of a text: words left out, put in and put for others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.distributions import EditedText
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.special_tokens import UNK

_FIRST_WORD = UNK
"""The lowest id of a word: a channel neither reads nor writes the special tokens before it."""

_WORDS_AT_ONCE = 1024
"""Of these all scores of the vocabulary are held together."""

_RARE = -4.0
"""The log odds that a word is left out, or put in, before training."""

_KEPT = 2.0
"""The log odds that a word stays as it is, before training."""


class EditChannel(nn.Module):
    r"""p(s | x), a text s that was made of a text x word by word.

    Before each word of x, and at its end, words are put in as long as a coin of rate :math:`\iota`
    says so. A word is left out at a rate :math:`\delta`, and else written down:

    .. math::
        p(r \mid w) = k_w [r = w] + (1 - k_w) \operatorname{softmax}_r(u_r^\top e_w + b_r)

    with :math:`k_w` how often it stays as it is. Words that are put in have probabilities of their
    own. Called with x, it returns the distribution of s, whose density sums over every way in which
    x can have become s.

    >>> channel = EditChannel(vocab_size=9, embedding_dim=4)
    >>> text, read = torch.tensor([[4, 5, 2], [6, 2, 0]]), torch.tensor([[4, 7, 2], [6, 6, 2]])
    >>> channel(text).log_prob(read).shape
    torch.Size([2])

    Source: Brill and Moore (2000), An Improved Error Model for Noisy Channel Spelling Correction,
    https://aclanthology.org/P00-1037/, for a channel of edits; here of words, not of letters.

    :param embedding_dim: size of the vector of a word, which what is written for it depends on.
    """

    def __init__(self, vocab_size: int, embedding_dim: int) -> None:
        check_sizes(vocab_size=vocab_size, embedding_dim=embedding_dim)
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.written = nn.Linear(embedding_dim, vocab_size - _FIRST_WORD)
        self.kept = nn.Embedding(vocab_size, 1)
        nn.init.constant_(self.kept.weight, _KEPT)
        self.put_in = nn.Parameter(torch.zeros(vocab_size - _FIRST_WORD))
        self.left_out_logit = nn.Parameter(torch.tensor(_RARE))
        self.put_in_logit = nn.Parameter(torch.tensor(_RARE))

    def forward(self, text: Tensor) -> EditedText:
        """The distribution of what is made of each row of ids ``(*B, T)``."""
        return EditedText(self, text)

    def log_rates(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logarithms of: a word left out, not left out, one put in, none put in; no dimension."""
        out, more = self.left_out_logit, self.put_in_logit
        return F.logsigmoid(out), F.logsigmoid(-out), F.logsigmoid(more), F.logsigmoid(-more)

    def log_put_in(self, read: Tensor) -> Tensor:
        """Log-probability of each word of ``read``, ids of any shape, as one that was put in."""
        return self.put_in.log_softmax(-1)[(read - _FIRST_WORD).clamp(min=0)]

    def log_written(self, text: Tensor, read: Tensor) -> Tensor:
        """log p(word of ``read`` | word of ``text``) of each pair, ``(*B, T, S)``.

        What is no word of either is given a value without a meaning.

        :param text: ids ``(*B, T)``.
        :param read: ids ``(*C, S)``, where C broadcasts to B.
        """
        # Scores of the vocabulary are made once for each word that there is, not for each place.
        words, place = text.clamp(min=_FIRST_WORD).unique(return_inverse=True)
        table = self.written(self.embedding(words)).log_softmax(-1)
        classes = (read - _FIRST_WORD).clamp(min=0).unsqueeze(-2)
        other = table.reshape(-1)[place.unsqueeze(-1) * table.shape[-1] + classes]
        same = text.unsqueeze(-1) == read.unsqueeze(-2)
        return self._with_kept(self.kept(text), other, same)

    def log_written_for_all(self, read: Tensor) -> Tensor:
        """The same for every class of a decoder in the place of a word, ``(*C, S, V)``.

        :param read: ids ``(*C, S)``.
        """
        words = torch.arange(self.vocab_size, device=read.device)[_FIRST_WORD:]
        flat = read.reshape(-1)
        parts = [self.log_written(part, flat) for part in words.split(_WORDS_AT_ONCE)]
        log_written = torch.cat(parts).mT.reshape(*read.shape, len(words))
        # Class 0 is <eos>, for which nothing is written.
        return F.pad(log_written, (1, 0), value=-torch.inf)

    @staticmethod
    def _with_kept(logit: Tensor, other: Tensor, same: Tensor) -> Tensor:
        replaced = F.logsigmoid(-logit) + other
        return torch.where(same, torch.logaddexp(F.logsigmoid(logit), replaced), replaced)
