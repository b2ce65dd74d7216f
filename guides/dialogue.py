# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A Gaussian posterior of z, given the act of a reply where that is given, and one of the act."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.label_vectors import labels_of


class DialogueGuide(PyroModule):
    r"""q(z | x, s, label), then q(y | x, s, z) where the act is not given.

    .. math::
        q(z, y \mid x, s) = \mathcal N(z; \mu(x, s, l), \operatorname{diag} \sigma^2(x, s, l))\,
        q(y \mid x, s, z)

    with l the label, or that there is none.

    ======  ================  ===================
    symbol  site              shape
    ======  ================  ===================
    z       ``z``             ``(N, latent_dim)``
    y       ``y_unobserved``  ``(N,)`` int64
    ======  ================  ===================

    The act is summed over, not drawn. Mean and log variance of z are linear in the features of
    reply and source and in a vector of the label; the logits of the act in those features and z. z
    comes first, as in the model: an act whose probability depends on z cannot be summed over before
    z is drawn.

    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    >>> encoders = [BagOfWordsEncoder(**sizes) for _ in range(2)]
    >>> guide = DialogueGuide(*encoders, latent_dim=3, num_labels=4)
    >>> guide(torch.tensor([[4, 5, 2]]), torch.tensor([[6, 2]]), torch.tensor([1])).shape
    torch.Size([1, 3])

    Source: Zhao et al. (2017), https://aclanthology.org/P17-1061/, whose recognition network is
    given the act.

    :param encoder: maps replies ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param source_encoder: the same for what was said before.
    :param latent_dim: size of z.
    :param num_labels: how many acts there are, at least 2; in a run that of the corpus.
    :param label_dim: size of the vector of an act.
    """

    def __init__(
        self,
        encoder: Encoder,
        source_encoder: Encoder,
        latent_dim: int,
        num_labels: int,
        label_dim: int = 16,
    ) -> None:
        check_sizes(latent_dim=latent_dim, label_dim=label_dim)
        check_sizes(minimum=2, num_labels=num_labels)
        super().__init__("guide")
        self.encoder = encoder
        self.source_encoder = source_encoder
        width = encoder.output_dim + source_encoder.output_dim
        # The last vector is that of a label that is not given.
        self.label_vector = nn.Embedding(num_labels + 1, label_dim)
        self.latent = nn.Linear(width + label_dim, 2 * latent_dim)
        self.act = nn.Linear(width + latent_dim, num_labels)

    def forward(self, tokens: Tensor, source: Tensor, labels: Tensor | None = None) -> Tensor:
        """Draw z ``(N, latent_dim)`` for ``tokens`` and ``source``, given ``labels`` ``(N,)``."""
        labels = labels_of(labels, len(source), like=source)
        is_latent: Any = labels < 0
        features = torch.cat([self.encoder(tokens), self.source_encoder(source)], -1)
        with pyro.plate("data", len(tokens)):
            label = self.label_vector(labels % self.label_vector.num_embeddings)
            loc, log_variance = self.latent(torch.cat([features, label], -1)).chunk(2, -1)
            z = pyro.sample("z", dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1))
            with poutine.mask(mask=is_latent):
                given = torch.cat([features.expand(*z.shape[:-1], -1), z], -1)
                act = dist.Categorical(logits=self.act(given))
                pyro.sample("y_unobserved", act, infer={"enumerate": "parallel"})
        return z
