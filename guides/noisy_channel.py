# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Posteriors of a noisy channel: of z given a text, and of z and text given what was written."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.contract import TEXT_GIVEN_SOURCE
from pyro_textvae.distributions.diagonal_gaussian_mixture import DiagonalGaussianMixture
from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes


class NoisyChannelGuide(PyroModule):
    r"""q(z | x); of the source alone q(z | s), and a text word by word given z and s.

    .. math::
        q(z \mid x) = \mathcal N(z; \mu(x), \operatorname{diag} \sigma^2(x)), \qquad
        q(z, x \mid s) = \left[\tfrac12 \mathcal N(z; \mu(s), \operatorname{diag} \sigma^2(s)) +
        \tfrac12 \mathcal N(z; 0, I)\right] q(x \mid z, s)

    ======  ========  =============================================
    symbol  site      shape
    ======  ========  =============================================
    z       ``z``     ``(N, latent_dim)``
    x       ``text``  ``(N, max_length)`` ids, of the source alone
    ======  ========  =============================================

    Given a text, its source says nothing of z. The source alone is read as if it were the text;
    half of the draws are those of a prior N(0, I), so that no weight of a draw is without bound
    where that reading goes wrong. Words come from the model's
    :meth:`~pyro_textvae.models.NoisyChannel.text_given_source`.

    >>> from pyro_textvae.models import NoisyChannel
    >>> from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4}
    >>> decoder = GRUDecoder(**sizes, hidden_dim=8, latent_dim=3, max_length=6)
    >>> model = NoisyChannel(StandardNormal(3), decoder, **sizes)
    >>> guide = NoisyChannelGuide(BagOfWordsEncoder(**sizes, hidden_dim=8), 3, model)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 3])
    >>> guide.source_alone()(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 6])

    Source: Hesterberg (1995), Weighted Average Importance Sampling and Defensive Mixture
    Distributions, Technometrics 37, 185-194, for the half.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z.
    :param model: what the latents are of, a model with a method ``text_given_source``.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, model: nn.Module) -> None:
        check_sizes(latent_dim=latent_dim)
        super().__init__("guide")
        self.encoder = encoder
        self.latent = nn.Linear(encoder.output_dim, 2 * latent_dim)
        # No submodule: the model's parameters are not the guide's.
        self._model = (model,)

    @property
    def model(self) -> Any:
        """What the latents are of."""
        return self._model[0]

    def forward(self, tokens: Tensor) -> Tensor:
        """Draw z ``(N, latent_dim)`` for ``tokens`` ``(N, T)``."""
        with pyro.plate("data", len(tokens)):
            return pyro.sample("z", self._of_text(tokens))

    def source_alone(self) -> nn.Module:
        """q(z, x | s), the guide of the model's program of the source alone."""
        return _SourceAlone(self)

    def text_alone(self) -> nn.Module:
        """q(z | x), that of the text alone: this guide."""
        return self

    def given_source(self, source: Tensor) -> dist.TorchDistribution:
        """q(z | s) for ``source`` ``(N, S)``."""
        of_text: Any = self._of_text(source)
        loc, scale = (getattr(of_text.base_dist, name) for name in ("loc", "scale"))
        locs = torch.stack([loc, torch.zeros_like(loc)], -2)
        scales = torch.stack([scale, torch.ones_like(scale)], -2)
        halves = dist.Categorical(logits=loc.new_zeros(*loc.shape[:-1], 2))
        return DiagonalGaussianMixture(halves, dist.Normal(locs, scales).to_event(1))

    def _of_text(self, tokens: Tensor) -> dist.TorchDistribution:
        loc, log_variance = self.latent(self.encoder(tokens)).chunk(2, -1)
        return dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1)


class _SourceAlone(nn.Module):
    """z and a text of what was written."""

    def __init__(self, pair: NoisyChannelGuide) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, tokens: Tensor) -> Tensor:
        with pyro.plate("data", len(tokens)):
            z = pyro.sample("z", self.pair.given_source(tokens))
            text = self.pair.model.text_given_source(z, tokens)
            return pyro.sample(TEXT_GIVEN_SOURCE, text)
