# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The review group VAE: a vector of a product, one of each review of it, and the reviews."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.distributions import scorable_rows
from pyro_textvae.nn import Decoder
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.number_of_sentences import sentences_there


class ReviewGroupVAE(PyroModule):
    r"""c ~ p(c), a product; R ~ p(R | c) reviews; for each z_r ~ p(z | c), x_r ~ p(x | z_r).

    .. math::
        p(x, c, z) = p(c)\, p(R \mid c) \prod_{r=1}^{R}
        \mathcal N(z_r; \mu(c), \operatorname{diag} \sigma^2(c))\, p(x_r \mid z_r)

    ======  =================  ==============================================
    symbol  site               shape
    ======  =================  ==============================================
    c       ``z_whole``        ``(N, 1, latent_dim)``
    R       ``num_sentences``  ``(N, 1)`` int64, less one
    z       ``z``              ``(N, R, latent_dim)``
    x       ``x``              ``(N, R, T)`` int64 ids, ``<pad>`` = 0
    ======  =================  ==============================================

    The sites are in the plate ``"data"`` of N products, at -2, those of reviews in the plate
    ``"sentences"`` inside it. Reviews are independent given the product. CopyCat scores each given
    the words of all the others, which is a pseudo-likelihood and bounds no p(x); this is one joint
    density. A summary is the text at :meth:`summary_latent`. Its guide is ``document`` with the
    option ``ordered: false``.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> ReviewGroupVAE(StandardNormal(3), decoder, latent_dim=3, max_sentences=4)(size=2).shape
    torch.Size([2, 4, 6])

    Source: Bražinskas et al. (2020), Unsupervised Opinion Summarization as Copycat-Review
    Generation, https://aclanthology.org/2020.acl-main.461/.

    :param prior: called with nothing, returns p(c).
    :param decoder: called with z_r.
    :param latent_dim: size of c and of each z_r.
    :param max_sentences: the most reviews of a product.
    """

    def __init__(
        self, prior: nn.Module, decoder: Decoder, latent_dim: int, max_sentences: int
    ) -> None:
        check_sizes(latent_dim=latent_dim, max_sentences=max_sentences)
        super().__init__("model")
        self.prior = prior
        self.decoder = decoder
        self.max_sentences = max_sentences
        self.number = nn.Linear(latent_dim, max_sentences)
        self.review = nn.Linear(latent_dim, 2 * latent_dim)

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Score ``tokens`` ``(N, R, T)``, or generate the reviews of ``size`` products."""
        rows, given = (None, None) if tokens is None else scorable_rows(tokens)
        with pyro.plate("data", size if tokens is None else len(tokens), dim=-2):
            c = pyro.sample("z_whole", self.prior())
            there: Any = sentences_there(self.number(c), given)
            with pyro.plate("sentences", there.shape[-1], dim=-1), poutine.mask(mask=there):
                z = pyro.sample("z", self.review_prior(c))
                return pyro.sample("x", self.decoder(z).mask(there), obs=rows)

    def start(self, tokens: Tensor) -> Tensor:
        """Draw c, and score the number of reviews; see :mod:`pyro_textvae.infer.steps`."""
        c: Tensor = pyro.sample("z_whole", self.prior())
        sentences_there(self.number(c), scorable_rows(tokens)[1])
        return c

    def step(self, state: Tensor, t: int, tokens: Tensor) -> Tensor:
        """Draw z of review t, and score the review."""
        z = pyro.sample("z", self.review_prior(state))
        pyro.sample("x", self.decoder(z), obs=scorable_rows(tokens)[0][:, t : t + 1])
        return state

    def review_prior(self, c: Tensor) -> dist.TorchDistribution:
        """p(z | c)."""
        loc, log_scale = self.review(c).chunk(2, -1)
        return dist.Normal(loc, log_scale.exp()).to_event(1)

    def summary_latent(self, c: Tensor) -> Tensor:
        """E[z | c], ``(..., latent_dim)``: what reviews of a product have in common."""
        return self.review(c).chunk(2, -1)[0]
