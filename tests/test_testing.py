# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The shipped contract fires on programs that break it."""

from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule, PyroSample
from torch import nn

from pyro_textvae.guides import GaussianGuide, PowerSphericalGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal, UniformSphere
from pyro_textvae.testing import ContractError, check_guide, check_model, check_pair
from tests.programs.bayesian_bias import BIAS, BiasGuide, bayesian_bias


class NoPlate(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        z = pyro.sample("z", self.prior().expand([size or len(tokens)]))
        return pyro.sample("x", self.decoder(z), obs=tokens)


class MeanOverTheBatch(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decoder(z + z.mean(-2, keepdim=True)), obs=tokens)


class LeftDimensionsForgotten(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decoder(z.reshape(-1, 2)[-5:]), obs=tokens)


class UnusedParameter(SentenceVAE):
    def __init__(self, **parts):
        super().__init__(**parts)
        self.spare = nn.Parameter(torch.ones(1))


class Unnamed(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("words", self.decoder(z), obs=tokens)


class ScoresPads(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            if tokens is not None:
                z = z + 0.01 * tokens.shape[-1]
            return pyro.sample("x", self.decoder(z), obs=tokens)


def parts(prior=StandardNormal):
    decoder = LSTMDecoder(vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=2, max_length=10)
    return {"prior": prior(2), "decoder": decoder}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NoPlate, "model site 'z' is outside the plate 'data'"),
        (MeanOverTheBatch, "a batch is not its sentences one by one in the model"),
        (LeftDimensionsForgotten, "particle|agnostic"),
        (UnusedParameter, "parameter 'spare' of the model gets no gradient"),
        (Unnamed, "no sample site 'x'"),
        (ScoresPads, "padding changes scores"),
    ],
)
def test_model_that_breaks_the_contract_is_caught(model, message):
    with pytest.raises(ContractError, match=message):
        check_model(model(**parts()))


class CountsItsWords(SentenceVAE):
    """Sound: a second observed site and a deterministic one beside the text."""

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            rate = pyro.deterministic("rate", (1.0 + z.square().sum(-1)))
            length = None if tokens is None else (tokens > 2).sum(-1).to(z.dtype)
            pyro.sample("length", dist.Poisson(rate), obs=length)
            return pyro.sample("x", self.decoder(z), obs=tokens)


@pytest.mark.parametrize("model", [SentenceVAE, CountsItsWords])
def test_model_that_keeps_it_passes(model):
    check_model(model(**parts()))


@pytest.mark.parametrize("max_length", [1, 2, 3])
def test_model_of_short_sentences_passes(max_length):
    decoder = LSTMDecoder(
        vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=2, max_length=max_length
    )
    check_model(SentenceVAE(prior=StandardNormal(2), decoder=decoder))


class EncodesPads(LSTMEncoder):
    def forward(self, tokens):
        return self.lstm(self.embedding(tokens))[0][:, -1]


class NormalisesTheBatch(LSTMEncoder):
    def forward(self, tokens):
        features = super().forward(tokens)
        return features - features.mean(0)


class WrongName(GaussianGuide):
    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            features = self.encoder(tokens)
            scale = self.log_variance(features).exp()
            pyro.sample("latent", dist.Normal(self.loc(features), scale).to_event(1))


def guide_of(encoder_class, guide_class=GaussianGuide, latent_dim=2):
    encoder = encoder_class(vocab_size=9, embedding_dim=3, hidden_dim=6)
    return guide_class(encoder=encoder, latent_dim=latent_dim)


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (lambda: guide_of(EncodesPads), "padding changes|a batch is not"),
        (lambda: guide_of(NormalisesTheBatch), "a batch is not its sentences one by one"),
        (lambda: guide_of(LSTMEncoder, WrongName), "latent sites are z, the guide's latent"),
        (lambda: guide_of(LSTMEncoder, latent_dim=3), "event shape"),
    ],
)
def test_guide_that_breaks_the_contract_is_caught(guide, message):
    with pytest.raises(ContractError, match=message):
        check_guide(guide(), SentenceVAE(**parts()))


WRONG_SUPPORTS = [
    (UniformSphere, GaussianGuide, "'z' has support Sphere in the model and Real in the guide"),
    (StandardNormal, PowerSphericalGuide, "'z' has support Real in the model and Sphere in the"),
]


@pytest.mark.parametrize(("prior", "guide", "message"), WRONG_SUPPORTS)
def test_guide_that_draws_where_the_prior_has_no_density_is_caught(prior, guide, message):
    model, guide = SentenceVAE(**parts(prior)), guide_of(LSTMEncoder, guide)
    with pytest.raises(ContractError, match=message + ".*--prior uniform_sphere"):
        check_guide(guide, model)
    with pytest.raises(ContractError, match=message):
        check_pair(model, guide, BetaELBO(), {"tokens": torch.tensor([[3, 2]])})


class GammaPrior(nn.Module):
    def forward(self):
        return dist.Gamma(torch.ones(2), torch.ones(2)).to_event(1)


class LogNormalGuide(GaussianGuide):
    family = dist.LogNormal

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            features = self.encoder(tokens)
            loc, scale = self.loc(features), self.log_variance(features).exp()
            pyro.sample("z", self.family(loc, scale).to_event(1))


class WithoutSupport(dist.LogNormal):
    @property
    def support(self):
        raise NotImplementedError


class UnknownGuide(LogNormalGuide):
    family = partial(WithoutSupport, validate_args=False)


@pytest.mark.parametrize("guide", [LogNormalGuide, UnknownGuide])
def test_supports_of_two_names_that_cover_each_other_pass(guide):
    model = SentenceVAE(**parts() | {"prior": GammaPrior()})
    batch = {"tokens": torch.tensor([[3, 2]])}
    check_pair(model, guide_of(LSTMEncoder, guide), BetaELBO(), batch)
    with pytest.raises(ContractError, match="GreaterThanEq.* in the model and Real in the guide"):
        check_pair(model, guide_of(LSTMEncoder), BetaELBO(), batch)


def test_pair_without_parameters_cannot_train():
    class Still(PyroModule):
        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                pyro.sample("z", dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1))

    with pytest.raises(ContractError, match="the loss has no gradient"):
        check_pair(Still(), Still(), BetaELBO(), {"tokens": torch.tensor([[3, 2]])})


def test_pair_check_leaves_the_generator_alone():
    model, guide = SentenceVAE(**parts()), guide_of(LSTMEncoder)
    state = torch.get_rng_state()
    check_pair(model, guide, BetaELBO(), {"tokens": torch.tensor([[3, 2]])})
    assert torch.equal(torch.get_rng_state(), state)


class PlateOfTheTextAlone(SentenceVAE):
    """z outside the plate, with the text inside: it looks like a global latent."""

    def forward(self, tokens=None, *, size=None):
        n = size if tokens is None else len(tokens)
        z = pyro.sample("z", self.prior().expand([n]).to_event(1))
        with pyro.plate("data", n):
            return pyro.sample("x", self.decoder(z), obs=tokens)


class ReadsNothing(SentenceVAE):
    def __init__(self, **parts):
        super().__init__(**parts)
        self.spare = PyroSample(dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (PlateOfTheTextAlone, r"'z' is outside the plate 'data' and has shape \(1, 2\) for one"),
        (ReadsNothing, "the PyroSample 'model.spare' leaves no sample site"),
    ],
)
def test_global_latent_that_is_none_is_caught(model, message):
    with pytest.raises(ContractError, match=message):
        check_model(model(**parts()))


@pytest.mark.parametrize("latent", [False, True])
def test_pair_with_a_global_latent_passes(latent):
    model, guide = bayesian_bias(latent=latent)
    check_model(model)
    check_guide(guide, model)
    check_pair(model, guide, BetaELBO(corpus_size=9), {"tokens": torch.tensor([[3, 2], [4, 2]])})
    with pytest.raises(ContractError, match="size BetaELBO was not told: give corpus_size="):
        check_pair(model, guide, BetaELBO(), {"tokens": torch.tensor([[3, 2], [4, 2]])})


class AmortisedBias(BiasGuide):
    def forward(self, tokens):
        loc = self.loc + tokens.to(self.loc).mean()
        pyro.sample(BIAS, dist.Normal(loc, self.log_scale.exp()).to_event(1))


class BiasOfEach(BiasGuide):
    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample(BIAS, dist.Normal(self.loc, self.log_scale.exp()).to_event(1))


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (AmortisedBias, "the posterior of global latents is another for other sentences"),
        (BiasOfEach, "'model.decoder.token_scores.bias' is in other plates"),
    ],
)
def test_guide_of_a_global_latent_that_breaks_the_contract_is_caught(guide, message):
    model, _ = bayesian_bias(latent=False)
    with pytest.raises(ContractError, match=message):
        check_guide(guide(), model)
