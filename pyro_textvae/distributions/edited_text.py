# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A distribution over what is made of a text by edits of its words."""

from __future__ import annotations

from typing import Protocol

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_textvae.distributions.autoregressive_categorical import sentence_mask
from pyro_textvae.distributions.shape import Shape
from pyro_textvae.special_tokens import EOS, PAD


class Channel(Protocol):
    """What :class:`EditedText` asks of a channel: its log-probabilities, in nats."""

    vocab_size: int

    def log_rates(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of a word left out, not left out, one put in, none put in; no dimension."""

    def log_put_in(self, read: Tensor) -> Tensor:
        """Of each word of ``read`` ``(*C, S)``, as one that was put in."""

    def log_written(self, text: Tensor, read: Tensor) -> Tensor:
        """Of each word of ``read`` ``(*C, S)`` for each of ``text`` ``(*B, T)``: ``(*B, T, S)``."""


class EditedText(TorchDistribution):
    r"""What is made of a text x: each word left out or written down, others put in between.

    .. math::
        \log p(s \mid x) = \log \sum_{\text{edits from } x \text{ to } s} p(\text{edits})

    The sum is a forward algorithm over places of both. Rows end in ``<eos>`` and are padded; the
    ``<eos>`` of x is that of s. There is no longest outcome: a value may have any width.

    :param channel: see :class:`Channel`.
    :param text: ids of x, ``(*batch_shape, T)``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = False

    def __init__(
        self, channel: Channel, text: Tensor, *, validate_args: bool | None = None
    ) -> None:
        self.channel = channel
        self.text = text
        super().__init__(text.shape[:-1], text.shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Rows of ids below ``vocab_size``."""
        return constraints.independent(
            constraints.integer_interval(PAD, self.channel.vocab_size - 1), 1
        )

    def expand(self, batch_shape: Shape, _instance: EditedText | None = None) -> EditedText:
        """The same distribution over more rows; stays of this class, as ``pyro.plate`` needs."""
        new = self._get_checked_instance(EditedText, _instance)
        batch_shape = torch.Size(batch_shape)
        new.channel = self.channel
        new.text = self.text.expand(batch_shape + self.text.shape[-1:])
        super(EditedText, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(s | x) of each row in nats, ``broadcast(batch_shape, value.shape[:-1])``."""
        shape = torch.broadcast_shapes(self.batch_shape, value.shape[:-1])
        out, written, more, no_more = self.channel.log_rates()
        num_words, num_read = words_of(self.text).sum(-1), words_of(value).sum(-1)
        emission = self.channel.log_written(self.text, value)
        inserted = more + self.channel.log_put_in(value)
        # The first column is that of nothing read yet.
        so_far = torch.nn.functional.pad(inserted.cumsum(-1), (1, 0))
        read_before = so_far.expand(*shape, -1)
        last = read_before
        for place in range(self.text.shape[-1]):
            one_more = read_before[..., :-1] + written + emission[..., place, :]
            base = read_before + out
            base = torch.cat([base[..., :1], torch.logaddexp(base[..., 1:], one_more)], -1)
            # Words put in after it: a sum over how many, for all places at once.
            read_before = no_more + so_far + torch.logcumsumexp(base - so_far, -1)
            is_word = (place < num_words).unsqueeze(-1)
            last = torch.where(is_word, read_before, last)
        last = last.gather(-1, num_read.expand(shape).unsqueeze(-1)).squeeze(-1)
        return last + no_more

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws, ``(*sample_shape, *batch_shape, S)``, as wide as the longest of them."""
        shape = torch.Size(sample_shape) + self.batch_shape
        rows = self.text.expand(shape + self.text.shape[-1:]).reshape(-1, self.text.shape[-1])
        every = torch.arange(self.channel.vocab_size, device=rows.device)
        words = every[words_of(every.unsqueeze(-1)).squeeze(-1)]
        put_in = self.channel.log_put_in(words).exp()
        out, _, more, _ = (rate.exp() for rate in self.channel.log_rates())
        made = []
        for row in rows:
            read: list[Tensor] = []
            for word in (*row[words_of(row)], None):
                while torch.rand((), device=rows.device, dtype=more.dtype) < more:
                    read.append(words[torch.multinomial(put_in, 1)[0]])
                if word is None or torch.rand((), device=rows.device, dtype=out.dtype) < out:
                    continue
                share = self.channel.log_written(word.unsqueeze(0), words).exp()[0]
                read.append(words[torch.multinomial(share, 1)[0]])
            made.append(torch.stack([*read, rows.new_tensor(EOS)]))
        padded = torch.nn.utils.rnn.pad_sequence(made, batch_first=True, padding_value=PAD)
        return padded.reshape(shape + padded.shape[-1:])


def words_of(rows: Tensor) -> Tensor:
    """True at the words of sentences, which ``<eos>`` is none of; shape of ``rows``."""
    return sentence_mask(rows) & (rows > EOS)
