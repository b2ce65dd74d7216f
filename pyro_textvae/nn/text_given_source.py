# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A text drawn word by word with an eye to what was made of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_textvae.distributions import AutoregressiveCategorical, Context, Memory
from pyro_textvae.distributions.edited_text import words_of
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.edit_channel import EditChannel
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED


class TextGivenSource:
    r"""q(x | z, s): each word of x in proportion to p(word | z) and to the source so far.

    .. math::
        q(x_t \mid x_{<t}, z, s) \propto p(x_t \mid x_{<t}, z) \sum_j p(s_{\le j} \mid x_{\le t})\,
        e^{-(S - j) H_t}, \qquad
        q(\text{eos}) \propto p(\text{eos} \mid x_{<t}, z)\, p(s \mid x_{<t})

    A proposal for p(x | z, s). What is not yet read of the S words of s is taken to cost as much a
    word as the decoder is unsure of the next, its entropy H_t: without that, a word that was left
    out would explain the next of s as well as that word itself. Weights p(x, s | z) / q(x | z, s)
    make up for what is wrong in this. A network of
    :class:`~pyro_textvae.distributions.AutoregressiveCategorical`; :meth:`given` is that
    distribution.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> proposal = TextGivenSource(decoder, EditChannel(vocab_size=9, embedding_dim=4))
    >>> text = proposal.given(torch.zeros(10, 2, 3), torch.tensor([[4, 5, 2], [6, 2, 0]]))
    >>> text.sample().shape
    torch.Size([10, 2, 6])
    """

    takes_memory = True

    def __init__(self, decoder: Decoder, channel: EditChannel) -> None:
        self.decoder = decoder
        self.channel = channel
        self.vocab_size = decoder.vocab_size

    def given(self, z: Tensor, source: Tensor) -> AutoregressiveCategorical:
        """The distribution of x for ``z`` ``(*B, latent_dim)`` and ``source`` ``(N, S)``."""
        # The memory of a source: what each class may have written at each place.
        memory = Memory(self.channel.log_written_for_all(source), words_of(source), source)
        return AutoregressiveCategorical(self, Context(z, memory), self.decoder.max_length)

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        """Log-probability of every token given the ones before; see ``SequenceNetwork``."""
        assert context.memory is not None
        of_text = Context(context.z)
        decoder = self.decoder
        hidden = decoder.output_dropout(decoder.hidden_states(tokens, of_text))
        log_prior = decoder.token_scores(hidden).log_softmax(-1)
        memory = context.memory.distinct()
        shape = torch.broadcast_shapes(mask.shape[:-1], context.batch_shape)
        log_prior = log_prior.expand(shape + log_prior.shape[-2:])
        tokens = tokens.expand(shape + tokens.shape[-1:])
        read, log_probs = self._nothing_read(memory, shape), []
        for place in range(tokens.shape[-1]):
            scores = self._weighted(log_prior[..., place, :], read, memory)
            word = tokens[..., place]
            index = (word - FIRST_EMITTED).unsqueeze(-1)
            log_probs.append(scores.log_softmax(-1).gather(-1, index).squeeze(-1))
            read = self._after(word, read, memory)
        return torch.where(mask.expand(shape + mask.shape[-1:]), torch.stack(log_probs, -1), 0.0)

    def initial_state(self, context: Context) -> Any:
        """The decoder's state, and log p(the first j words of the source, nothing written)."""
        assert context.memory is not None
        read = self._nothing_read(context.memory, context.batch_shape)
        return self.decoder.initial_state(Context(context.z)), read

    def step(self, previous: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """Scores of the next word and the new state; see ``SequenceNetwork``."""
        memory = context.memory
        assert memory is not None
        of_decoder, read = state
        after = self._after(previous, read, memory)
        read = torch.where((previous == BOS).unsqueeze(-1), read, after)
        scores, of_decoder = self.decoder.step(previous, of_decoder, Context(context.z))
        return self._weighted(scores.log_softmax(-1), read, memory), (of_decoder, read)

    def _nothing_read(self, memory: Memory, shape: torch.Size) -> Tensor:
        """log p(s_{<=j}, none of x written) for j = 0 to S, ``(*shape, S + 1)``."""
        _, _, more, no_more = self.channel.log_rates()
        return (no_more + self._put_in(memory)).expand(*shape, -1)

    def _put_in(self, memory: Memory) -> Tensor:
        """Log-probability that the first j words of a source were all put in, ``(*B, S + 1)``."""
        more = self.channel.log_rates()[2]
        put_in = (more + self.channel.log_put_in(memory.ids)).cumsum(-1)
        return torch.nn.functional.pad(put_in, (1, 0))

    def _after(self, word: Tensor, read: Tensor, memory: Memory) -> Tensor:
        """log p(s_{<=j} | x so far and ``word``), ``(*B, S + 1)``; see ``EditedText``."""
        out, written, _, no_more = self.channel.log_rates()
        index = (word - FIRST_EMITTED).clamp(min=1)[..., None, None]
        states = memory.states.expand(*word.shape, *memory.states.shape[-2:])
        emission = states.gather(-1, index.expand(*states.shape[:-1], 1)).squeeze(-1)
        base = read + out
        one_more = read[..., :-1] + written + emission
        base = torch.cat([base[..., :1], torch.logaddexp(base[..., 1:], one_more)], -1)
        put_in = self._put_in(memory)
        return no_more + put_in + torch.logcumsumexp(base - put_in, -1)

    def _weighted(self, log_prior: Tensor, read: Tensor, memory: Memory) -> Tensor:
        """Scores of the next word by the decoder and the source so far, ``(*B, V)``.

        :param log_prior: of the decoder, ``(*B, V)``.
        :param read: log p(s_{<=j} | x so far), ``(*B, S + 1)``.
        """
        out, written, _, _ = self.channel.log_rates()
        num_read = memory.mask.sum(-1, keepdim=True)
        left = num_read - torch.arange(read.shape[-1], device=read.device)
        whole = read.gather(-1, num_read.expand(*read.shape[:-1], 1))
        cost = torch.special.entr(log_prior.exp()).sum(-1, keepdim=True)
        read = (read - left * cost).masked_fill(left < 0, -torch.inf)
        most = read.max(-1, keepdim=True).values
        share = (read - most).exp()
        # One more word of the source, written for this one; a class writes nothing of padding.
        of_words = memory.states.masked_fill(~memory.mask.unsqueeze(-1), -torch.inf).exp()
        one_more = torch.einsum("...s,...sv->...v", share[..., :-1], of_words)
        none = share.sum(-1, keepdim=True)
        log_words = ((written + cost).exp() * one_more + out.exp() * none).log() + most
        weights = torch.cat([whole, log_words[..., EOS - FIRST_EMITTED + 1 :]], -1)
        return log_prior + weights
