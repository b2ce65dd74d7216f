# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The words of a sentence, predicted from its latents whatever their order is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.distributions.autoregressive_categorical import sentence_mask
from pyro_textvae.infer.auxiliary import AuxiliaryLoss, TrainingPass
from pyro_textvae.nn.in_vocabulary import in_vocabulary
from pyro_textvae.nn.token_scores import TokenScores
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED


class BagOfWords(AuxiliaryLoss):
    r"""Minus the log-probability of a sentence's words, each drawn from one distribution given z.

    .. math::
        -\frac{1}{K} \sum_k \sum_{t} \log f(x_t \mid z_k)

    f is a softmax over the vocabulary behind one hidden layer, and ``<eos>`` is not counted. It has
    no words before it to lean on, so that z has to carry what the sentence is of. Nats for each
    sentence.

    Source: Zhao et al. (2017), Learning Discourse-level Diversity for Neural Dialog Models using
    Conditional Variational Autoencoders, section 3.3, https://aclanthology.org/P17-1061/.

    >>> import torch
    >>> BagOfWords({"z": 8}, vocab_size=9, hidden_dim=16).scores(torch.zeros(3, 2, 8)).shape
    torch.Size([3, 2, 7])

    :param hidden_dim: width of the hidden layer.
    :param latent_dims, sites, weight: see :class:`AuxiliaryLoss`.
    """

    def __init__(
        self,
        latent_dims: Mapping[str, int],
        vocab_size: int,
        hidden_dim: int = 256,
        *,
        sites: Sequence[str] | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight, latent_dims=latent_dims, sites=sites)
        self.scores = nn.Sequential(
            nn.Linear(self.latent_dim, hidden_dim), nn.Tanh(), TokenScores(hidden_dim, vocab_size)
        )

    def forward(self, training_pass: TrainingPass) -> Tensor:
        """The loss of each sentence, ``(N,)`` nats."""
        tokens = training_pass.field(TOKENS)
        words = (sentence_mask(tokens) & (tokens > EOS)).flatten(1)
        log_prob = self.scores(self.latents(training_pass)).log_softmax(-1)
        counts = log_prob.new_zeros(log_prob.shape[1:])
        ids = in_vocabulary(tokens, log_prob.shape[-1] + FIRST_EMITTED)
        classes = ids.flatten(1).clamp(min=FIRST_EMITTED) - FIRST_EMITTED
        counts.scatter_add_(1, classes, words.to(counts.dtype))
        return -(counts * log_prob).sum(-1).mean(0)
