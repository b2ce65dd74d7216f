# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pyro's autoguides with one posterior for each sentence, against what is known in closed form."""

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import (
    AutoDelta,
    AutoIAFNormal,
    AutoLaplaceApproximation,
    AutoMultivariateNormal,
    AutoNormal,
    AutoNormalMessenger,
)
from safetensors.torch import load_model, save_model
from torch import nn

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.infer import IWAE, STL, BetaELBO, DReG, SentenceAutoGuide, log_weights
from pyro_textvae.infer.objectives import SemiAmortisedELBO
from pyro_textvae.infer.sentence_hash import sentence_hashes
from tests.evaluation.linear_gaussian import LinearGaussian

WITH_DENSITY = [
    "AutoNormal",
    "AutoMultivariateNormal",
    "AutoDiagonalNormal",
    "AutoLowRankMultivariateNormal",
]
POINTS = ["AutoDelta", "AutoLaplaceApproximation"]
SIZE = 5


@pytest.fixture(scope="module")
def data():
    """A linear-Gaussian model in two dimensions and sentences of its own."""
    pyro.set_rng_seed(0)
    model = LinearGaussian(2)
    _, x = model.simulate(SIZE)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model, x


def fit(model, guide, x, *, steps, objective=None, lr=0.05):
    """Train the guide on batches whose order changes from step to step."""
    optimizer = torch.optim.Adam(guide.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss = (objective or BetaELBO(num_particles=8))(model, guide)
    for _ in range(steps):
        rows = torch.randperm(len(x))[: len(x) - 1]
        optimizer.zero_grad()
        loss(tokens=x[rows]).backward()
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("name", WITH_DENSITY)
def test_the_score_is_exact_within_its_error(data, name):
    model, x = data
    guide = SentenceAutoGuide(model, name, [{"tokens": x}])
    fit(model, guide, x, steps=250)
    r = log_likelihood(model, guide, [{"tokens": x}], num_samples=3000)
    z = (r.log_px - model.log_px(x)) / r.standard_error
    assert z.abs().max() < 4.5
    assert r.standard_error.max() < 0.1
    assert r.khat.max() < 0.7


def test_a_full_covariance_finds_the_posterior_of_each_sentence(data):
    model, x = data
    guide = SentenceAutoGuide(model, "AutoMultivariateNormal", [{"tokens": x}])
    fit(model, guide, x, steps=300, objective=STL(4), lr=0.1)
    weights = log_weights(model, guide, {"tokens": x}, 20)
    # Where the guide is the posterior every weight is p(x).
    torch.testing.assert_close(weights.detach(), model.log_px(x).expand(20, -1), rtol=0, atol=1e-3)


def test_a_sentence_has_its_posterior_wherever_it_stands(data):
    model, x = data
    guide = SentenceAutoGuide(model, "AutoNormal", [{"tokens": x[:2]}, {"tokens": x[2:]}])
    fit(model, guide, x, steps=30)
    r = log_likelihood(model, guide, [{"tokens": x}], num_samples=50)
    order = torch.tensor([3, 1, 4])
    moved = log_likelihood(model, guide, [{"tokens": x[order]}], num_samples=50)
    assert torch.equal(r.log_px[order], moved.log_px)
    assert len(set(r.log_px.tolist())) == SIZE


def test_points_have_the_modes_of_the_posteriors(data):
    model, x = data
    for name in POINTS:
        guide = SentenceAutoGuide(model, name, [{"tokens": x}])
        fit(model, guide, x, steps=300, objective=BetaELBO(), lr=0.1)
        trace = pyro.poutine.trace(guide).get_trace(tokens=x)
        z = trace.nodes["z"]["value"].detach()
        torch.testing.assert_close(z, model.posterior(x).mean, rtol=0, atol=0.02)
        with pytest.raises(ValueError, match="puts all its mass on one point"):
            log_likelihood(model, guide, [{"tokens": x}], num_samples=10)


def test_laplace_approximation_of_a_gaussian_is_the_posterior(data):
    model, x = data
    guide = SentenceAutoGuide(model, "AutoLaplaceApproximation", [{"tokens": x}])
    fit(model, guide, x, steps=300, objective=BetaELBO(), lr=0.1)
    gaussian = guide.laplace_approximation([{"tokens": x[[0, 1, 0]]}, {"tokens": x[2:]}])
    r = log_likelihood(model, gaussian, [{"tokens": x}], num_samples=200)
    torch.testing.assert_close(r.log_px, model.log_px(x), rtol=0, atol=0.01)
    with pytest.raises(ValueError, match="give batches of all its sentences"):
        guide.laplace_approximation([{"tokens": x[:2]}])
    with pytest.raises(ValueError, match="AutoMultivariateNormal has no Laplace approximation"):
        gaussian.laplace_approximation([{"tokens": x}])


class Positive(nn.Module):
    """A positive latent and a Gaussian one: x is known in closed form."""

    def forward(self, tokens=None, *, size=None):
        zero = torch.zeros(size if tokens is None else len(tokens)).double()
        with pyro.plate("data", len(zero)):
            a = pyro.sample("a", dist.Normal(zero, 1.0))
            b = pyro.sample("b", dist.LogNormal(0.3 * a, 0.8))
            x = dist.Normal((a + b.log()).unsqueeze(-1), 0.9).to_event(1)
            return pyro.sample("x", x, obs=tokens)


@pytest.mark.parametrize("name", ["AutoNormal", "AutoMultivariateNormal"])
def test_latents_of_another_support_and_several_of_them(name):
    model, x = Positive(), torch.tensor([[0.3], [-1.2], [2.0]]).double()
    guide = SentenceAutoGuide(model, name, [{"tokens": x}])
    fit(model, guide, x, steps=300)
    r = log_likelihood(model, guide, [{"tokens": x}], num_samples=3000)
    exact = dist.Normal(0.0, (1.3**2 + 0.8**2 + 0.9**2) ** 0.5).log_prob(x).squeeze(-1)
    assert ((r.log_px - exact) / r.standard_error).abs().max() < 4.5
    assert r.standard_error.max() < 0.1


def test_equal_sentences_share_a_row_and_padding_is_nothing():
    tokens = torch.tensor([[4, 5, 2, 0], [6, 2, 0, 0], [4, 5, 2, 0]])
    hashes = sentence_hashes({"tokens": tokens})
    assert hashes[0] == hashes[2] != hashes[1]
    assert torch.equal(hashes[1:2], sentence_hashes({"tokens": tokens[1:2, :2]}))
    # Other places, other fields, other numbers: other sentences.
    others = [{"tokens": tokens.flip(1)}, {"source": tokens}, {"tokens": tokens.double()}]
    assert not any((sentence_hashes(other) == hashes).any() for other in others)
    labelled = {"tokens": tokens, "labels": torch.tensor([0, 1, -1])}
    assert len(sentence_hashes(labelled).unique()) == 3


def test_a_sentence_outside_of_the_set_is_refused(data):
    model, x = data
    guide = SentenceAutoGuide(model, "AutoNormal", [{"tokens": x[:3]}])
    for call in (
        lambda: BetaELBO().loss(model, guide, tokens=x),
        lambda: log_likelihood(model, guide, [{"tokens": x}], 10),
        lambda: information(model, guide, [{"tokens": x}]),
    ):
        with pytest.raises(ValueError, match="2 of the 5 sentences of a batch have no posterior"):
            call()


@pytest.mark.parametrize("name", ["AutoNormal", "AutoMultivariateNormal"])
def test_rows_are_saved_and_loaded_without_the_sentences(data, name, tmp_path):
    model, x = data
    guide = SentenceAutoGuide(model, name, [{"tokens": x}])
    fit(model, guide, x, steps=10)
    save_model(guide, str(tmp_path / "guide.safetensors"))
    loaded = SentenceAutoGuide(model, name)
    missing, unexpected = load_model(loaded, tmp_path / "guide.safetensors", strict=False)
    assert not missing
    assert not unexpected
    batch = {"tokens": x[1:4]}
    results = [log_likelihood(model, each, [batch], 20).log_px for each in (guide, loaded)]
    assert torch.equal(*results)
    assert loaded.num_sentences == SIZE


def test_svi_with_pyros_own_objective_trains_the_rows(data):
    model, x = data
    pyro.clear_param_store()
    guide = SentenceAutoGuide(model, "AutoNormal", [{"tokens": x}])
    before = copy.deepcopy(guide.state_dict())
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO())
    losses = [svi.step(tokens=x[1:3]) for _ in range(60)]
    assert sum(losses[-10:]) < sum(losses[:10])
    for name, value in guide.state_dict().items():
        if name.startswith("posteriors"):
            moved = (value != before[name]).flatten(1).any(1)
            stepped = torch.isin(guide.keys, sentence_hashes({"tokens": x[1:3]}))
            assert torch.equal(moved, stepped)


def test_a_diagonal_gaussian_can_be_refined_and_compared(data):
    model, x = data
    guide = SentenceAutoGuide(model, "AutoNormal", [{"tokens": x}])
    plain = BetaELBO(num_particles=200).loss(model, guide, tokens=x)
    assert SemiAmortisedELBO(num_particles=200, step_size=0.1).loss(model, guide, tokens=x) < plain
    assert information(model, guide, [{"tokens": x}]).mutual_information is not None


RAW = [AutoNormal, AutoDelta, AutoMultivariateNormal, AutoLaplaceApproximation, AutoNormalMessenger]


@pytest.mark.parametrize("autoguide", RAW)
def test_an_autoguide_with_a_row_for_each_place_is_refused_by_name(data, autoguide):
    model, x = data
    guide = autoguide(model)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"SentenceAutoGuide\(model, {autoguide.__name__},"):
            IWAE(2).loss(model, guide, tokens=x)
    with pytest.raises(ValueError, match="for each place in a batch"):
        log_likelihood(model, guide, [{"tokens": x[:2]}], 10)


def test_one_posterior_for_all_sentences_is_right_in_any_batch(data):
    model, x = data
    guide = AutoNormalMessenger(model, amortized_plates=("data",), init_scale=0.9)
    fields = {"tokens": x, "labels": torch.zeros(SIZE)}
    assert BetaELBO(num_particles=300).loss(model, guide, **fields) > -model.log_px(x).sum()
    for objective in (IWAE(3), DReG(3)):
        assert objective.loss(model, guide, tokens=x[:2]) > 0
    r = log_likelihood(model, guide, [fields], num_samples=20_000)
    near = r.khat < 0.7
    z = (r.log_px - model.log_px(x)) / r.standard_error
    assert near.any()
    assert z[near].abs().max() < 4.5


@pytest.mark.parametrize(
    ("autoguide", "reason"),
    [
        ("AutoNorma", "pyro.infer.autoguide has no 'AutoNorma': take one of AutoNormal,"),
        (lambda model: AutoIAFNormal(model, hidden_dim=[4]), "AutoIAFNormal has no posterior for"),
        ("AutoNormalMessenger", "AutoNormalMessenger has rows of places in a batch: take AutoNorm"),
    ],
)
def test_another_autoguide_is_refused(data, autoguide, reason):
    model, x = data
    with pytest.raises(UserError, match=reason):
        SentenceAutoGuide(model, autoguide, [{"tokens": x}])


def test_discrete_latents_have_no_autoguide():
    def model(tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("y", dist.Bernoulli(0.5))

    with pytest.raises(UserError, match="AutoNormal has no guide of this model: .*'y'"):
        SentenceAutoGuide(model, "AutoNormal", [{"tokens": torch.tensor([[2]])}])


def test_one_batch_in_the_place_of_several_is_refused(data):
    model, x = data
    with pytest.raises(UserError, match=r"batches is one batch: give a list of them, \[batch\]"):
        SentenceAutoGuide(model, "AutoNormal", {"tokens": x})


def test_an_empty_set_is_refused_when_it_is_used(data):
    model, x = data
    with pytest.raises(ValueError, match="3 of the 3 sentences"):
        BetaELBO().loss(model, SentenceAutoGuide(model), tokens=x[:3])
