# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Bayesian weights of a network that runs in ``log_prob``: one draw, one site, for all it does."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.nn import PyroModule, PyroSample
from pyro.nn.module import to_pyro_module_
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.distributions.autoregressive_normal import AutoregressiveNormal
from pyro_textvae.distributions.samples_of_network import draw_samples, samples_in_place
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import GRUDecoder, LSTMDecoder
from pyro_textvae.priors import StandardNormal

SIZES = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8, "latent_dim": 2, "max_length": 6}
TOKENS = torch.tensor([[4, 5, 2], [6, 2, 0]])


def make_bayesian(module, *names):
    """Those parameters of a module itself, or all of it and its parts, as standard Gaussians."""
    for part in [module] if names else module.modules():
        for name, value in list(part.named_parameters(recurse=False)):
            if not names or name in names:
                zeros = torch.zeros_like(value)
                setattr(part, name, PyroSample(dist.Normal(zeros, 1.0).to_event(zeros.dim())))


def bayesian_bias(*, plain_decoder):
    decoder = LSTMDecoder(**SIZES)
    to_pyro_module_(decoder.token_scores if plain_decoder else decoder)
    make_bayesian(decoder.token_scores, "bias")
    return SentenceVAE(StandardNormal(2), decoder)


@pytest.mark.parametrize("kind", ["decoders", "encoders"])
def test_every_network_can_be_a_pyro_module(kind):
    """A ``PyroModule`` of it has the same numbers, and those made in place do too."""
    for name in zoo.names(kind):
        cls = zoo.load(kind, name)
        networks = []
        for each in (cls, PyroModule[cls], cls):
            torch.manual_seed(0)
            networks.append(zoo.build(each, SIZES).eval())
        to_pyro_module_(networks[2])
        with torch.no_grad():
            if kind == "decoders":
                outputs = [each(torch.ones(2, 2)).log_prob(TOKENS) for each in networks]
            else:
                outputs = [each(TOKENS) for each in networks]
        assert torch.equal(outputs[0], outputs[1]), name
        assert torch.equal(outputs[0], outputs[2]), name


@pytest.mark.parametrize(
    ("plain_decoder", "site"),
    [(False, "model.decoder.token_scores.bias"), (True, "token_scores.bias")],
)
def test_bias_is_a_site_outside_the_plate_and_scores_as_one_draw(plain_decoder, site):
    """Named by its place in the decoder where no name is passed on through a plain one."""
    model = bayesian_bias(plain_decoder=plain_decoder)
    pyro.set_rng_seed(0)
    trace = poutine.trace(model).get_trace(tokens=TOKENS)
    assert trace.nodes[site]["value"].shape == (7,)
    assert trace.nodes[site]["cond_indep_stack"] == ()
    x, bias = trace.nodes["x"]["fn"], trace.nodes[site]["value"]
    once = x.log_prob(TOKENS)
    assert torch.equal(x.log_prob(TOKENS), once)
    assert torch.equal(x.expand((3, 2)).log_prob(TOKENS)[2], once)
    plain = LSTMDecoder(**SIZES)
    weights = dict(model.decoder.named_parameters())
    plain.load_state_dict(weights | {"token_scores.bias": bias})
    expected = plain(trace.nodes["z"]["value"]).log_prob(TOKENS)
    torch.testing.assert_close(once, expected)
    assert not torch.equal(poutine.trace(model).get_trace(TOKENS).nodes[site]["value"], bias)


def test_bias_that_is_given_is_scored_and_generated_with():
    model = bayesian_bias(plain_decoder=False)
    likeliest = torch.zeros(7)
    likeliest[5] = 1e3
    with poutine.condition(data={"model.decoder.token_scores.bias": likeliest}):
        assert (model(size=4) == 7).all()
    bias = torch.zeros(7, requires_grad=True)
    with poutine.condition(data={"model.decoder.token_scores.bias": bias}):
        trace = poutine.trace(model).get_trace(tokens=TOKENS)
    trace.log_prob_sum().backward()
    assert bias.grad.abs().sum() > 0


@pytest.mark.parametrize("decoder", [LSTMDecoder, GRUDecoder])
@pytest.mark.parametrize("shared", [False, True])
def test_all_weights_of_a_recurrent_decoder(decoder, shared):
    """Of the network that PyTorch runs and of the loop that shares the words between draws of z."""
    bayesian, plain = decoder(**SIZES), decoder(**SIZES)
    to_pyro_module_(bayesian)
    make_bayesian(bayesian)
    z = torch.randn(3, 2, 2) if shared else torch.randn(2, 2)
    trace = poutine.trace(bayesian).get_trace(z)
    sites = {n: site["value"] for n, site in trace.nodes.items() if site["type"] == "sample"}
    plain.load_state_dict(sites)
    x = trace.nodes["_RETURN"]["value"]
    torch.testing.assert_close(x.log_prob(TOKENS), plain(z).log_prob(TOKENS))
    torch.manual_seed(1)
    drawn = x.sample()
    torch.manual_seed(1)
    assert torch.equal(plain(z).sample(), drawn)


def test_network_of_another_distribution():
    """Of Gaussian coordinates one after the other: scored with the weight of its site."""

    class Walk(PyroModule):
        def __init__(self):
            super().__init__()
            self.step = PyroSample(dist.Normal(0.0, 1.0))

        def forward(self, z):
            before = nn.functional.pad(z[..., :-1], (1, 0))
            return self.step * before, torch.zeros_like(z)

    trace = poutine.trace(lambda: AutoregressiveNormal(Walk(), torch.zeros(4))).get_trace()
    walk = trace.nodes["_RETURN"]["value"].expand((2,))
    step = trace.nodes["step"]["value"]
    z = torch.randn(2, 4)
    before = nn.functional.pad(z[..., :-1], (1, 0))
    expected = dist.Normal(step * before, 1.0).to_event(1).log_prob(z)
    torch.testing.assert_close(walk.log_prob(z), expected)


def test_plain_networks_have_nothing_to_draw_and_nothing_is_left_behind():
    assert draw_samples(LSTMDecoder(**SIZES)) == ()
    assert draw_samples(PyroModule[LSTMDecoder](**SIZES)) == ()
    assert draw_samples(lambda z: z) == ()
    decoder = LSTMDecoder(**SIZES)
    to_pyro_module_(decoder)
    make_bayesian(decoder.lstm)
    before = [dict(module.__dict__) for module in decoder.modules()]
    drawn = draw_samples(decoder)
    with pytest.raises(ZeroDivisionError), samples_in_place(drawn):
        raise ZeroDivisionError
    for module, attributes in zip(decoder.modules(), before, strict=True):
        assert module.__dict__.keys() == attributes.keys()
        assert module.__dict__.get("_flat_weights") is attributes.get("_flat_weights")


def test_prior_of_one_weight_may_depend_on_another_and_stand_in_the_class():
    class Hierarchical(PyroModule):
        @PyroSample
        def scale(self):
            return dist.LogNormal(0.0, 1.0)

        @PyroSample
        def weight(self):
            return dist.Normal(0.0, 1e-6 * self.scale)

    ((_, values),) = draw_samples(Hierarchical())
    assert sorted(values) == ["scale", "weight"]
    assert values["weight"].abs() < 1e-4 * values["scale"]
