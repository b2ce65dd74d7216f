# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A site that only some batches have is named."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.testing import ContractError, check_guide, check_model


class OneForEachWord(SentenceVAE):
    """Latents by the width of the batch."""

    def forward(self, tokens=None, *, size=None):
        width = 9 if tokens is None else tokens.shape[-1]
        with pyro.plate("data", size if tokens is None else len(tokens)):
            total = sum(pyro.sample(f"z_{i}", self.prior()) for i in range(width))
            return pyro.sample("x", self.decoder(total), obs=tokens)


class WhereLabelled(SentenceVAE):
    """A label is observed where the batch has one."""

    def forward(self, labels, tokens=None):
        with pyro.plate("data", len(labels)):
            z = pyro.sample("z", self.prior())
            if (labels >= 0).any():
                given = dist.Bernoulli(logits=z[..., 0])
                pyro.sample("y", given, obs=labels.clamp(min=0).to(z.dtype))
            return pyro.sample("x", self.decoder(z), obs=tokens)


class WherePadded(SentenceVAE):
    """A site of wide batches."""

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            if tokens is not None and tokens.shape[-1] > 7:
                pyro.sample("rest", dist.Normal(z[..., 0], 1.0), obs=torch.zeros_like(z[..., 0]))
            return pyro.sample("x", self.decoder(z), obs=tokens)


class LongText(GaussianGuide):
    """A second latent for long text alone."""

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            features = self.encoder(tokens)
            loc, scale = self.loc(features), self.log_variance(features).exp()
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))
            if tokens.shape[-1] > 5:
                pyro.sample("w", dist.Normal(loc[..., 0], 1.0))


class TwoLatents(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            w = pyro.sample("w", dist.Normal(torch.zeros_like(z[..., 0]), 1.0))
            return pyro.sample("x", self.decoder(z + w.unsqueeze(-1)), obs=tokens)


def vae(cls):
    decoder = LSTMDecoder(vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=2, max_length=9)
    return cls(StandardNormal(2), decoder)


def test_latents_by_the_width_of_the_batch():
    message = (
        r"has the site 'z_7' on tokens .* \(5, 9\) of .* and not on the whole|'z_\d' on the whole"
    )
    with pytest.raises(ContractError, match=message):
        check_model(vae(OneForEachWord))


def test_observed_site_that_only_some_batches_have():
    message = r"the model has the site 'y' on the whole batch and not on tokens of shape \(1, \d\)"
    labels = torch.tensor([0, 1, -1, 1, 0])
    with pytest.raises(ContractError, match=message + ".*: let every batch have the same"):
        check_model(vae(WhereLabelled), condition={"labels": labels})
    check_model(vae(WhereLabelled), condition={"labels": labels.clamp(min=0)})


def test_site_that_padding_makes():
    message = (
        "has the site 'rest' on tokens of shape .5, 9. of its sentences and not on the whole batch"
    )
    with pytest.raises(ContractError, match=message):
        check_model(vae(WherePadded))


def test_latent_of_a_guide_that_only_some_batches_have():
    guide = LongText(LSTMEncoder(vocab_size=9, embedding_dim=3, hidden_dim=6), 2)
    with pytest.raises(
        ContractError, match="the guide has the site 'w' on the whole batch and not"
    ):
        check_guide(guide, vae(TwoLatents))
