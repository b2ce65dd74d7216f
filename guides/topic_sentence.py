# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Gaussian posteriors of the topics of a sentence and of its vector."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes


class TopicSentenceGuide(PyroModule):
    r"""q(t | x) q(z | x), both Gaussian with diagonal covariance.

    .. math::
        q(t, z \mid x) = \mathcal N(t; \mu_t(x), \operatorname{diag} \sigma_t^2(x)) \,
        \mathcal N(z; \mu_z(x), \operatorname{diag} \sigma_z^2(x))

    ======  ===========  ===================
    symbol  site         shape
    ======  ===========  ===================
    t       ``z_topic``  ``(N, num_topics)``
    z       ``z``        ``(N, latent_dim)``
    ======  ===========  ===================

    Means and log variances are linear in the features of one encoder.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = TopicSentenceGuide(encoder, latent_dim=3, num_topics=2)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 3])

    Source: Dieng et al. (2017), TopicRNN: A Recurrent Neural Network with Long-Range Semantic
    Dependency, https://arxiv.org/abs/1611.01702.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z.
    :param num_topics: that of the model.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, num_topics: int = 10) -> None:
        check_sizes(latent_dim=latent_dim, num_topics=num_topics)
        super().__init__("guide")
        self.encoder = encoder
        self.of_topics = nn.Linear(encoder.output_dim, 2 * num_topics)
        self.of_rest = nn.Linear(encoder.output_dim, 2 * latent_dim)

    def forward(self, tokens: Tensor, *, size: int | None = None) -> Tensor:
        """Draw t ``(N, num_topics)`` and z ``(N, latent_dim)`` for ``tokens`` ``(N, T)``."""
        features = self.encoder(tokens)
        with pyro.plate("data", len(tokens)):
            for name, linear in (("z_topic", self.of_topics), ("z", self.of_rest)):
                loc, log_variance = linear(features).chunk(2, -1)
                posterior = dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1)
                drawn = pyro.sample(name, posterior)
        return drawn
