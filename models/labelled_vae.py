# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The labelled VAE: a label and a latent vector apart, then a sentence given both."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.label_vectors import labels_of, summed_out, with_label


class LabelledVAE(PyroModule):
    r"""y ~ Categorical; z ~ p(z); x ~ p(x | y, z): what is said, and how, apart.

    .. math::
        p(x, y, z) = p(y) \, p(z) \prod_t p(x_t \mid x_{<t}, y, z)

    ======  ======  ==========================================
    symbol  site    shape
    ======  ======  ==========================================
    y       ``y``   ``(N,)`` int64, where its label is not given
    z       ``z``   ``(N, latent_dim)``
    x       ``x``   ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  ======  ==========================================

    All sites are in the plate ``"data"`` of N sentences. A label that is given is observed, at the
    site ``"y_observed"``; one that is not is a latent, at ``"y_unobserved"``: so Pyro splits a site
    with an ``obs_mask``. Under a guide without the latter it is summed out in the model. This is M2
    of Kingma et al.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3 + 2, max_length=6
    ... )
    >>> model = LabelledVAE(StandardNormal(3), decoder, num_labels=2)
    >>> model(size=10).shape
    torch.Size([10, 6])
    >>> model(labels=torch.tensor([0, 1, 1])).shape
    torch.Size([3, 6])

    Source: Kingma et al. (2014), Semi-supervised Learning with Deep Generative Models, section 2.1,
    https://arxiv.org/abs/1406.5298.

    :param prior: called with nothing, returns p(z).
    :param decoder: called with z and the label as one vector, ``(..., latent_dim + num_labels)``,
        returns p(x | y, z).
    :param num_labels: at least 2; in a run that of the corpus.
    """

    def __init__(self, prior: nn.Module, decoder: nn.Module, num_labels: int) -> None:
        super().__init__("model")
        check_sizes(minimum=2, num_labels=num_labels)
        self.num_labels = num_labels
        self.prior = prior
        self.decoder = decoder
        self.label_logits = nn.Parameter(torch.zeros(num_labels))

    @staticmethod
    def decoder_latent_dim(latent_dim: int, num_labels: int) -> int:
        """What a run's decoder is built with as ``latent_dim``, in the place of the setting."""
        return latent_dim + num_labels

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
            z = pyro.sample("z", self.prior())
            both = with_label(z, y, self.num_labels)
            return pyro.sample("x", self.decoder(both), obs=tokens)
