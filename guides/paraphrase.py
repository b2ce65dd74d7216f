# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior of one meaning from either of two sentences, or from both."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes


class ParaphraseGuide(PyroModule):
    r"""q(m | x, s) a product of what each sentence says of the meaning; then a form of each.

    .. math::
        q(m \mid x, s) \propto \mathcal N(m; 0, I)\, e(m \mid x)\, e(m \mid s), \qquad
        q(f \mid x, m)\, q(f_s \mid s, m)

    ======  =================  ===================
    symbol  site               shape
    ======  =================  ===================
    m       ``z_meaning``      ``(N, latent_dim)``
    f_s     ``z_form_source``  ``(N, form_dim)``
    f       ``z_form``         ``(N, form_dim)``
    ======  =================  ===================

    Each expert e is a Gaussian in m, linear in the encoder's features of its sentence, as are mean
    and log variance of a form in the features and the meaning. One encoder reads both. A product of
    Gaussians is one: the precisions are added up. Where there is one sentence alone, its expert
    alone is there, so :meth:`source_alone` and :meth:`text_alone` are of the same parameters.

    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = ParaphraseGuide(encoder, latent_dim=3, form_dim=2)
    >>> guide(torch.tensor([[4, 5, 2]]), torch.tensor([[6, 2]])).shape
    torch.Size([1, 3])

    Source: Wu and Goodman (2018), Multimodal Generative Models for Scalable Weakly-Supervised
    Learning, https://arxiv.org/abs/1802.05335, for the product of experts.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of the meaning.
    :param form_dim: size of a form.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, form_dim: int = 8) -> None:
        check_sizes(latent_dim=latent_dim, form_dim=form_dim)
        super().__init__("guide")
        self.encoder = encoder
        self.expert = nn.Linear(encoder.output_dim, 2 * latent_dim)
        self.form = nn.Linear(encoder.output_dim + latent_dim, 2 * form_dim)

    def forward(self, tokens: Tensor, source: Tensor) -> Tensor:
        """Draw the meaning ``(N, latent_dim)`` of pairs, and a form of each sentence."""
        of_text, of_source = self.encoder(tokens), self.encoder(source)
        with pyro.plate("data", len(tokens)):
            meaning = pyro.sample("z_meaning", self.meaning([of_text, of_source]))
            pyro.sample("z_form_source", self.form_given(meaning, of_source))
            pyro.sample("z_form", self.form_given(meaning, of_text))
        return meaning

    def meaning(self, features: list[Tensor]) -> dist.TorchDistribution:
        """q(m) given the features ``(N, encoder.output_dim)`` of one sentence or of two."""
        locs, log_precisions = zip(*(self.expert(f).chunk(2, -1) for f in features), strict=True)
        precisions = torch.stack(log_precisions).exp()
        total = 1 + precisions.sum(0)
        loc = (torch.stack(locs) * precisions).sum(0) / total
        return dist.Normal(loc, total.rsqrt()).to_event(1)

    def form_given(self, meaning: Tensor, features: Tensor) -> dist.TorchDistribution:
        """q(f) given the meaning ``(*B, latent_dim)`` and the features of its sentence."""
        features = features.expand(*meaning.shape[:-1], features.shape[-1])
        loc, log_variance = self.form(torch.cat([features, meaning], -1)).chunk(2, -1)
        return dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1)

    def source_alone(self) -> nn.Module:
        """q(m, f_s | s), the guide of the model's :meth:`source_alone`."""
        return _OneOfTheTwo(self, "z_form_source")

    def text_alone(self) -> nn.Module:
        """q(m, f | x), the guide of the model's :meth:`text_alone`."""
        return _OneOfTheTwo(self, "z_form")


class _OneOfTheTwo(nn.Module):
    """What one of the two sentences alone says of the meaning, and of its form."""

    def __init__(self, pair: ParaphraseGuide, form_site: str) -> None:
        super().__init__()
        self.pair = pair
        self.form_site = form_site

    def forward(self, tokens: Tensor) -> Tensor:
        features = self.pair.encoder(tokens)
        with pyro.plate("data", len(tokens)):
            meaning = pyro.sample("z_meaning", self.pair.meaning([features]))
            pyro.sample(self.form_site, self.pair.form_given(meaning, features))
        return meaning
