# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A decoder of bags of words: no word knows of another, nor of its place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import Context
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.special_tokens import FIRST_EMITTED


class BagOfWordsDecoder(Decoder):
    r"""p(x | z) of words that are drawn one by one from the same distribution, until ``<eos>``.

    .. math::
        p(x \mid z) = \prod_t p(x_t \mid z), \qquad p(w \mid z) \propto \exp(b_w + u_w \cdot h(z))

    So z has to say which words there are, and nothing else can: it is a topic model of sentences.
    Its text is a list of words. The vocabulary is scored once a sentence, not once a word, so it is
    many times as fast as the others.

    >>> decoder = BagOfWordsDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> sentences = decoder(torch.zeros(2, 3))
    >>> sentences.log_prob(torch.tensor([[4, 5, 2], [5, 4, 2]])).diff().abs().item() < 1e-5
    True

    Source: Miao et al. (2016), Neural Variational Inference for Text Processing, section 3,
    https://proceedings.mlr.press/v48/miao16.html.

    Parameters as those of :class:`LSTMDecoder`, and

    :param num_layers: linear maps from z to the scores, with a tanh between them: one alone makes
        each score linear in z.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        latent_dim: int,
        max_length: int,
        *,
        num_layers: int = 1,
        output_dropout: float = 0.0,
        memory_dim: int = 0,
        copying: bool = False,
    ) -> None:
        check_sizes(hidden_dim=hidden_dim, num_layers=num_layers)
        check_sizes(minimum=0, latent_dim=latent_dim)
        is_linear = num_layers == 1 and latent_dim > 0
        super().__init__(
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            state_dim=latent_dim if is_linear else hidden_dim,
            latent_dim=latent_dim,
            max_length=max_length,
            output_dropout=output_dropout,
            memory_dim=memory_dim,
            copying=copying,
            embedding=nn.Identity(),
        )
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        num_hidden = num_layers - 1 if latent_dim else 0
        widths = [latent_dim, *[hidden_dim] * num_hidden]
        self.layers = nn.ModuleList(nn.Linear(width, hidden_dim) for width in widths[:num_hidden])

    def embed(self, words: Tensor) -> Tensor:
        """Zeros, in the place of each of ``words``."""
        return self.token_scores.bias.new_zeros(*words.shape, self.embedding_dim)

    def embed_mean(self, shares: Tensor) -> Tensor:
        """Zeros, whatever the ``shares`` are."""
        return self.token_scores.bias.new_zeros(*shares.shape[:-1], self.embedding_dim)

    def unroll(self, inputs: Tensor, context: Context) -> Tensor:
        """See :class:`Decoder`."""
        hidden = self._state(context, inputs.shape[:-2])
        shape = torch.broadcast_shapes(inputs.shape[:-2], hidden.shape[:-1])
        hidden = hidden.unsqueeze(-2)
        return hidden.expand(*shape, inputs.shape[-2], hidden.shape[-1])

    def initial_state(self, context: Context) -> tuple[()]:
        """Nothing goes from word to word."""
        return ()

    def advance(
        self, inputs: Tensor, state: tuple[()], context: Context
    ) -> tuple[Tensor, tuple[()]]:
        """See :class:`Decoder`."""
        return self._state(context, inputs.shape[:-1]), state

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        """Log-probability of every token; see :class:`Decoder`."""
        if self.source is not None:
            return super().token_log_prob(tokens, mask, context)
        hidden = self.output_dropout(self._state(context, tokens.shape[:-1]))
        log_prob = self.token_scores(hidden).log_softmax(-1)
        shape = torch.broadcast_shapes(mask.shape[:-1], log_prob.shape[:-1])
        words = (tokens - FIRST_EMITTED).clamp(min=0).expand(*shape, -1)
        of_words = log_prob.expand(*shape, -1).gather(-1, words)
        return torch.where(mask, of_words, 0.0)

    def _state(self, context: Context, sentences: torch.Size) -> Tensor:
        """What the vocabulary is scored from, ``(*S, state_dim)``."""
        if context.z is None:
            return self.token_scores.bias.new_zeros(*sentences, self.hidden_dim)
        hidden = context.z
        for layer in self.layers:
            hidden = layer(hidden).tanh()
        return hidden
