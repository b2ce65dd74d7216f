# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
import torch.distributed
from pyro.infer import SVI
from safetensors.torch import load_model, save_model
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.guides import EmptyGuide, GaussianGuide
from pyro_textvae.infer import BetaELBO, DReG, PerDatumELBO
from pyro_textvae.nn import Encoder, LSTMEncoder
from pyro_textvae.priors import VampPrior
from pyro_textvae.testing import check_guide, check_model
from tests.priors.mixture_bounds import gaussian, kl_lower_bound, kl_upper_bound
from tests.priors.plane import kl_by_quadrature, mass, z_scores_of_draws

EMBEDDING_DIM = 3


@pytest.fixture
def tied(pair):
    """The pair of other tests, with a VampPrior of four components that differ."""
    model, guide = pair
    model.prior = VampPrior(2, EMBEDDING_DIM, num_components=4, pseudo_length=3).double()
    with torch.no_grad():
        model.prior.pseudo_inputs.mul_(20.0)
    model.prior.tie(guide)
    return model, guide


def of_all(model, guide):
    return nn.ModuleDict({"model": model, "guide": guide})


def test_a_component_is_the_posterior_of_what_it_reads(tied, tokens):
    """With the embeddings of a sentence as its pseudo-input."""
    model, guide = tied
    sentence = tokens[2:3]
    prior = VampPrior(2, EMBEDDING_DIM, num_components=1, pseudo_length=5).double()
    with torch.no_grad():
        prior.pseudo_inputs.copy_(guide.encoder.embedding(sentence))
    prior.tie(guide)
    z = torch.randn(6, 2).double()
    posterior = guide.posterior(guide.encoder(sentence))
    torch.testing.assert_close(prior().log_prob(z), posterior.log_prob(z), rtol=0, atol=1e-12)


def test_density_integrates_to_one_and_draws_follow_it(tied):
    """A smooth density; |z| < 4.5 for draws."""
    fn = tied[0].prior()
    loc = fn.components.mean
    assert (loc[:, None] - loc).norm(dim=-1).max() > 0.1
    assert abs(mass(fn) - 1) < 1e-6
    assert z_scores_of_draws(fn).abs().max() < 4.5


def test_sampled_kl_is_the_exact_one_and_lies_between_its_bounds(tied, tokens):
    """20,000 draws for each of four sentences, |z| < 4.5."""
    model, guide = tied
    with torch.no_grad():
        terms = PerDatumELBO(20_000).terms(model, guide, tokens=tokens)
        fn, q = model.prior(), guide.posterior(guide.encoder(tokens))
    for row in range(len(tokens)):
        loc, scale = q.base_dist.loc[row], q.base_dist.scale[row]
        exact, drawn = kl_by_quadrature(loc, scale, fn), terms.kl["z"][:, row]
        assert ((drawn.mean() - exact) / (drawn.std() / len(drawn) ** 0.5)).abs() < 4.5
        one = gaussian(loc, scale)
        lower, upper = (
            f(one, fn.log_weights, fn.components) for f in (kl_lower_bound, kl_upper_bound)
        )
        assert lower < exact < upper


@pytest.mark.parametrize("name", zoo.names("objectives"))
def test_tied_gradient_is_that_of_the_guide_and_of_its_part_in_the_prior(name, tied, tokens):
    """A copy of the model is tied to a twin of the guide: there the two parts are apart."""
    model, guide = tied
    apart = copy.deepcopy(model)
    twin = apart.prior._guide
    assert twin is not guide
    for one, other in ((model, guide), (apart, copy.deepcopy(guide))):
        objective = zoo.load("objectives", name)()
        pyro.set_rng_seed(4)
        objective(one, other)(tokens=tokens).backward()
        last = other
    in_prior = dict(twin.named_parameters())
    in_guide = dict(last.named_parameters())
    for place, parameter in guide.named_parameters():
        parts = [p.grad for p in (in_prior[place], in_guide[place]) if p.grad is not None]
        torch.testing.assert_close(parameter.grad, sum(parts), rtol=1e-9, atol=1e-11)
        if "embedding" not in place:
            assert in_prior[place].grad.abs().sum() > 0
    torch.testing.assert_close(model.prior.pseudo_inputs.grad, apart.prior.pseudo_inputs.grad)


def test_contract(tied):
    model, guide = tied
    check_model(model)
    check_guide(guide, model)


def test_guide_is_listed_and_saved_once(tied, tokens, tmp_path):
    model, guide = tied
    names = [name for name, _ in of_all(model, guide).named_parameters()]
    assert len(names) == len({*names})
    assert "model.prior.pseudo_inputs" in names
    assert sorted(of_all(model, guide).state_dict()) == sorted(names)
    save_model(of_all(model, guide), str(tmp_path / "weights"))
    other_model, other_guide = copy.deepcopy((model, guide))
    assert other_model.prior._guide is other_guide
    with torch.no_grad():
        for parameter in of_all(other_model, other_guide).parameters():
            parameter.add_(1.0)
    load_model(of_all(other_model, other_guide), str(tmp_path / "weights"))
    z = torch.randn(5, 2).double()
    assert other_model.prior().log_prob(z).equal(model.prior().log_prob(z))


def test_conversion_takes_the_guide_along(tied, tokens):
    model, guide = tied
    of_all(model, guide).float()
    assert model.prior().sample().dtype == torch.float32
    model.double()
    assert {p.dtype for p in guide.parameters()} == {torch.float64}
    assert DReG(2)(model, guide)(tokens=tokens).dtype == torch.float64


def test_likelihood_agrees_with_quadrature(tied, tokens):
    """log p(x) under the mixture, on a grid of z; |z| < 4.5 with K = 5000."""
    model, guide = tied
    line = torch.linspace(-8.0, 8.0, 161, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        log_prior = model.prior().log_prob(grid)
        log_joint = log_prior[:, None] + model.decoder(grid.unsqueeze(1)).log_prob(tokens)
        exact = log_joint.logsumexp(0) + 2 * (line[1] - line[0]).log()
    found = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=5000)
    assert ((found.log_px - exact) / found.standard_error).abs().max() < 4.5


def test_data_parallel_has_the_plain_gradient(tied, tokens, tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    try:
        gradients = []
        for wrap in (nn.parallel.DistributedDataParallel, lambda module: module):
            model, guide = copy.deepcopy(tied)
            pyro.set_rng_seed(1)
            wrap(BetaELBO()(model, guide))(tokens=tokens).backward()
            gradients.append([p.grad for p in of_all(model, guide).parameters()])
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other)
    finally:
        torch.distributed.destroy_process_group()


def test_trains_in_plain_pyro(tied, tokens):
    model, guide = tied
    before = [p.detach().clone() for p in of_all(model, guide).parameters()]
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), loss=pyro.infer.Trace_ELBO())
    svi.step(tokens=tokens)
    after = of_all(model, guide).parameters()
    assert all(not old.equal(new) for old, new in zip(before, after, strict=True))


class _WordsOnly(Encoder):
    output_dim = 2

    def forward(self, tokens):
        return tokens.new_zeros(len(tokens), 2).float()


class _Points(nn.Module):
    def __init__(self, latent_dim=2):
        super().__init__()
        self.encoder = LSTMEncoder(vocab_size=7, embedding_dim=EMBEDDING_DIM, hidden_dim=2)
        self.latent_dim = latent_dim

    def posterior(self, features):
        return dist.Delta(features[..., : self.latent_dim]).to_event(1)


def _gaussian(latent_dim=2, embedding_dim=EMBEDDING_DIM):
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=embedding_dim, hidden_dim=8)
    return GaussianGuide(encoder, latent_dim)


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (EmptyGuide, "EmptyGuide has no 'encoder'"),
        (_Points, "_Points gives the draws of another posterior no density"),
        (lambda: GaussianGuide(_WordsOnly(), 2), "_WordsOnly has no method encode_embeddings"),
        (lambda: _gaussian(latent_dim=3), r"draws z of shape \(3,\), not \(2,\)"),
        (lambda: _gaussian(embedding_dim=5), "cannot read pseudo-inputs of embedding_dim 3.*5"),
    ],
)
def test_guides_that_cannot_be_tied(guide, message):
    prior = VampPrior(2, EMBEDDING_DIM)
    with pytest.raises(ValueError, match=message):
        prior.tie(guide())
    with pytest.raises(ValueError, match=r"tied to no guide yet.*call prior.tie\(guide\)"):
        prior()


def test_tying_takes_no_random_number(pair):
    prior = VampPrior(2, EMBEDDING_DIM).double()
    state = torch.get_rng_state()
    prior.tie(pair[1])
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize("name", ["latent_dim", "embedding_dim", "num_components", "pseudo_length"])
def test_wrong_settings(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        VampPrior(**{"latent_dim": 2, "embedding_dim": 3, name: 0})


def test_components_are_in_the_mode_of_the_prior_and_the_guide_stays_in_its_own(tied):
    model, guide = tied
    modes = []
    guide.encoder.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    encode = guide.encoder.encode_embeddings

    def noted(*arguments):
        modes.append(guide.encoder.training)
        return encode(*arguments)

    guide.encoder.encode_embeddings = noted
    guide.train()
    model.eval()
    model.prior()
    assert modes == [False]
    assert all(module.training for module in guide.modules())
