# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The labelled mixture VAE: a label, a latent vector of its class, a sentence given the vector."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.label_vectors import labels_of, summed_out


class LabelledMixtureVAE(PyroModule):
    r"""y ~ Categorical; z ~ N(loc_y, diag scale_y^2); x ~ p(x | z): each class a place of z.

    .. math::
        p(x, y, z) = p(y) \, \mathcal N(z; \mu_y, \operatorname{diag} \sigma_y^2)
        \prod_t p(x_t \mid x_{<t}, z)

    ======  ======  ==========================================
    symbol  site    shape
    ======  ======  ==========================================
    y       ``y``   ``(N,)`` int64, where its label is not given
    z       ``z``   ``(N, latent_dim)``
    x       ``x``   ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  ======  ==========================================

    All sites are in the plate ``"data"`` of N sentences. Labels that are given are observed, at the
    site ``"y_observed"``; the others are latent, at ``"y_unobserved"``. Where no sentence has one,
    it is a Gaussian-mixture latent variable model, whose components are clusters of the text; where
    all have one, each class has a prior of its own. Location and scale of every class are learned.
    Under a guide without labels, q(z | x) alone, y is summed out in the model at the cost of one
    decoding: p(x | z) is the same for every class.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> model = LabelledMixtureVAE(decoder, latent_dim=3, num_labels=2)
    >>> model(size=10).shape
    torch.Size([10, 6])
    >>> model(labels=torch.tensor([0, 1, 1])).shape
    torch.Size([3, 6])

    Source: Jiang et al. (2017), Variational Deep Embedding, https://arxiv.org/abs/1611.05148,
    without labels; Kingma et al. (2014), Semi-supervised Learning with Deep Generative Models,
    https://arxiv.org/abs/1406.5298, for labels that are given in part.

    :param decoder: called with z ``(..., latent_dim)``, returns p(x | z).
    :param latent_dim: size of z.
    :param num_labels: classes, at least 2; in a run with labels those of the corpus.
    """

    def __init__(self, decoder: nn.Module, latent_dim: int, num_labels: int) -> None:
        super().__init__("model")
        check_sizes(latent_dim=latent_dim)
        check_sizes(minimum=2, num_labels=num_labels)
        self.latent_dim = latent_dim
        self.num_labels = num_labels
        self.decoder = decoder
        self.label_logits = nn.Parameter(torch.zeros(num_labels))
        self.loc = nn.Parameter(torch.randn(num_labels, latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(num_labels, latent_dim))

    def forward(
        self,
        tokens: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        size: int | None = None,
    ) -> Tensor:
        """Score ``tokens`` ``(N, T)``, or generate a sentence for each of ``labels`` ``(N,)``.

        Without either, ``size`` sentences, each with a label that is drawn.
        """
        given = tokens if labels is None else labels
        size = size if given is None else len(given)
        labels = labels_of(labels, size, like=self.label_logits)
        is_given: Any = labels >= 0
        with pyro.plate("data", size):
            kind = dist.Categorical(logits=self.label_logits)
            with summed_out():
                y = pyro.sample("y", kind, obs=labels.clamp(min=0), obs_mask=is_given)
            of_class = dist.Normal(self.loc[y], self.log_scale[y].exp()).to_event(1)
            z = pyro.sample("z", of_class)
            return pyro.sample("x", self.decoder(z), obs=tokens)
