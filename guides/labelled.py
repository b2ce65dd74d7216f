# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A classifier, and a Gaussian posterior for each label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_textvae.distributions.diagonal_gaussian_mixture import DiagonalGaussianMixture
from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.label_vectors import labels_of, pick_label


class LabelledGuide(Guide):
    r"""q(y | x) where the label is not given, then q(z | x, y).

    .. math::
        q(y, z \mid x) = \operatorname{Categorical}(y; \pi(x)) \,
        \mathcal N(z; \mu_y(x), \operatorname{diag} \sigma_y^2(x))

    ======  ================  ==========================
    symbol  site              shape
    ======  ================  ==========================
    y       ``y_unobserved``  ``(N,)`` int64
    z       ``z``             ``(N, latent_dim)``
    ======  ================  ==========================

    Logits, and for each label mean and log variance, are linear in the encoder's features. The
    label is summed over, not drawn. Of the labels that are given, none of this is a part of any
    bound: q(y | x) learns from them by the auxiliary loss
    :class:`~pyro_textvae.infer.auxiliaries.LabelClassification`, which ``train`` adds.

    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = LabelledGuide(encoder, latent_dim=3, num_labels=2)
    >>> tokens = torch.tensor([[4, 5, 2], [6, 2, 0]])
    >>> guide(tokens, torch.tensor([1, -1])).shape
    torch.Size([2, 3])

    Source: Kingma et al. (2014), Semi-supervised Learning with Deep Generative Models, section 3.1,
    https://arxiv.org/abs/1406.5298.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z.
    :param num_labels: at least 2; in a run that of the corpus.
    """

    auxiliaries: ClassVar[Mapping[str, Any]] = {"label_classification": 1.0}
    """The auxiliary losses that it is trained with where the settings say nothing of them."""

    def __init__(self, encoder: Encoder, latent_dim: int, num_labels: int) -> None:
        super().__init__(encoder)
        check_sizes(latent_dim=latent_dim)
        check_sizes(minimum=2, num_labels=num_labels)
        self.num_labels = num_labels
        self.label_logits = nn.Linear(encoder.output_dim, num_labels)
        self.loc = nn.Linear(encoder.output_dim, num_labels * latent_dim)
        self.log_variance = nn.Linear(encoder.output_dim, num_labels * latent_dim)

    def forward(
        self, tokens: Tensor, labels: Tensor | None = None, *, size: int | None = None
    ) -> Tensor:
        """Draw z ``(N, latent_dim)`` for ``tokens`` ``(N, T)``, given ``labels`` ``(N,)``."""
        features = self.encoder(tokens)
        labels = labels_of(labels, len(tokens), like=tokens)
        is_latent: Any = labels < 0
        with pyro.plate("data", len(tokens)):
            with poutine.mask(mask=is_latent):
                y = pyro.sample(
                    "y_unobserved", self.label_posterior(features), infer={"enumerate": "parallel"}
                )
            y = torch.where(is_latent, y, labels)
            return pyro.sample("z", self.posterior_given_label(features, y))

    def label_posterior(self, features: Tensor) -> dist.Categorical:
        """q(y | x) for the encoder's features ``(..., encoder.output_dim)``."""
        return dist.Categorical(logits=self.label_logits(features))

    def posterior_given_label(self, features: Tensor, labels: Tensor) -> dist.TorchDistribution:
        """q(z | x, y) for features ``(*B, encoder.output_dim)`` and labels of any shape beside."""
        loc, scale = (pick_label(each, labels) for each in self._of_labels(features))
        return dist.Normal(loc, scale).to_event(1)

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x), the labels summed out: a mixture, for features ``(..., output_dim)``."""
        components = dist.Normal(*self._of_labels(features)).to_event(1)
        return DiagonalGaussianMixture(self.label_posterior(features), components)

    def _of_labels(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale for each label, ``(..., num_labels, latent_dim)``."""
        loc, log_variance = (
            linear(features).unflatten(-1, (self.num_labels, -1))
            for linear in (self.loc, self.log_variance)
        )
        return loc, (0.5 * log_variance).exp()
