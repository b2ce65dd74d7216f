# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior of how much of each topic a text has, from its words in any order."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.distributions import sentence_mask
from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.words_of_documents import words_of_documents


class TopicGuide(PyroModule):
    r"""q(z | x), a Gaussian, for a logistic normal; q(theta | x), a Dirichlet, for a Dirichlet.

    .. math::
        q(z \mid x) = \mathcal N(z; \mu(x), \operatorname{diag} \sigma^2(x)) \quad\text{or}\quad
        q(\theta \mid x) = \operatorname{Dirichlet}(\alpha + L \, r(x))

    ======  =========  =================================
    symbol  site       shape
    ======  =========  =================================
    z       ``z``      ``(N, latent_dim)``
    theta   ``theta``  ``(N, latent_dim)``, on a simplex
    ======  =========  =================================

    All are functions of the encoder's features and of the number L of tokens, for a posterior of
    many words is narrow: Gaussian parameters are linear in both, and a Dirichlet's concentration
    grows by r for every word, as an exact one does where each word tells its topic.

    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = TopicGuide(encoder, latent_dim=3)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 3])

    Source: Srivastava and Sutton (2017), Autoencoding Variational Inference for Topic Models,
    https://arxiv.org/abs/1703.01488; Figurnov et al. (2018), Implicit Reparameterization
    Gradients, https://arxiv.org/abs/1805.08498, for draws from a Dirichlet.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: number of topics.
    :param topic_prior: that of the model.
    :param concentration: that of the model.
    """

    def __init__(
        self,
        encoder: Encoder,
        latent_dim: int,
        topic_prior: str = "logistic_normal",
        concentration: float = 1.0,
    ) -> None:
        check_sizes(latent_dim=latent_dim)
        super().__init__("guide")
        self.encoder = encoder
        self.topic_prior = topic_prior
        self.concentration = concentration
        size = latent_dim if topic_prior == "dirichlet" else 2 * latent_dim
        self.parameters_of = nn.Linear(encoder.output_dim + 1, size)

    def forward(self, tokens: Tensor, *, size: int | None = None) -> Tensor:
        """Draw z, or theta, ``(N, latent_dim)`` for ``tokens`` ``(N, T)``.

        Of documents ``(N, S, T)`` it is ``(N, 1, latent_dim)``, from the words of all sentences.
        """
        are_documents = tokens.dim() == 3
        words = words_of_documents(tokens) if are_documents else tokens
        length = sentence_mask(words).sum(-1, keepdim=True)
        features = self.encoder(words)
        parameters = self.parameters_of(torch.cat([features, length.to(features).log()], -1))
        if are_documents:
            parameters, length = parameters.unsqueeze(1), length.unsqueeze(1)
        with pyro.plate("data", len(tokens), dim=-2 if are_documents else -1):
            if self.topic_prior == "dirichlet":
                concentration = self.concentration + length * nn.functional.softplus(parameters)
                return pyro.sample("theta", dist.Dirichlet(concentration))
            loc, log_variance = parameters.chunk(2, -1)
            return pyro.sample("z", dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1))
