# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Plates inside "data": the terms of a datum are summed over them, particles stand left of all."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from pyro.nn import PyroModule

from pyro_textvae.infer import (
    CIWAE,
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    VIMCO,
    BetaELBO,
    DReG,
    FreeBits,
    MaximumMeanDiscrepancy,
    RenyiIWAE,
    SemiAmortisedELBO,
    ThermodynamicELBO,
    WakeSleep,
    log_weights,
)
from pyro_textvae.infer.plates import find_plates
from tests.programs.pairs import CONVERSATIONS, conversations

EVERY = [
    BetaELBO(0.5, 4),
    BetaELBO(0.5, 4, constraint=FreeBits(0.01)),
    IWAE(4),
    DReG(4),
    STL(4),
    MIWAE(4, 2),
    PIWAE(4, 2),
    CIWAE(4),
    RenyiIWAE(4),
    RenyiIWAE(4, doubly_reparameterised=True),
    ThermodynamicELBO(4),
    WakeSleep(4),
    VIMCO(4),
]
every_objective = pytest.mark.parametrize("objective", EVERY, ids=lambda one: type(one).__name__)
both_layouts = pytest.mark.parametrize("data_dim", [-1, -2])


def log_weights_by_hand(model, guide, draws, data_dim):
    """log p(x, z) - log q(z | x), one draw and conversation after the other; ``(K, N)``."""
    normal = torch.distributions.Normal
    rows = []
    for k in range(len(draws["z"])):
        row = []
        for n, conversation in enumerate(CONVERSATIONS):
            turns = conversation[(conversation != 0).any(-1)]
            features = guide.encoder(turns)
            loc, log_scale = guide.z(features.mean(0)).chunk(2, -1)
            z = draws["z"][k].reshape(3, 1)[n]
            total = normal(0.0, 1.0).log_prob(z).sum()
            total = total - normal(loc, log_scale.exp()).log_prob(z).sum()
            for t, turn in enumerate(turns):
                place = (n, t) if data_dim == -2 else (t, n)
                z_turn = draws["z_turn"][k][place]
                loc, log_scale = guide.z_turn(features[t]).chunk(2, -1)
                total = total + normal(model.mean(z), 1.0).log_prob(z_turn).sum()
                posterior = normal(loc + guide.from_z(z), log_scale.exp())
                total = total - posterior.log_prob(z_turn).sum()
                total = total + model.decoder(z_turn).log_prob(turn)
            row.append(total)
        rows.append(torch.stack(row))
    return torch.stack(rows)


@both_layouts
@every_objective
def test_every_objective_is_that_of_the_weights_by_hand(objective, data_dim):
    model, guide = conversations(data_dim)
    pyro.set_rng_seed(1)
    terms = objective.terms(model, guide, tokens=CONVERSATIONS)
    draws = {site.name: site.draw.detach() for site in terms.passes[0]}
    assert {z.shape[0] for z in draws.values()} == {4}
    expected = log_weights_by_hand(model, guide, draws, data_dim)
    torch.testing.assert_close(terms.log_weights, expected, rtol=1e-10, atol=1e-10)
    pyro.set_rng_seed(1)
    loss = objective(model, guide)(tokens=CONVERSATIONS)
    expected_loss = -objective.bound(terms).sum()
    if objective.constraint is not None:
        changed = objective.constraint(terms) - terms.total_kl.mean(0)
        expected_loss = expected_loss + objective.kl_weight * changed.sum()
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-10)
    loss.backward()
    for name, parameter in (*model.named_parameters(), *guide.named_parameters()):
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


class ByParticle(dist.Normal):
    """Draws that differ by particle and by nothing else, so that a datum's are its own."""

    def rsample(self, sample_shape=()):
        if self.loc.dim() < 4:
            return self.loc
        noise = torch.cos(1.7 * torch.arange(len(self.loc)).double())
        return self.loc + self.scale * noise.reshape(-1, 1, 1, 1)


@both_layouts
@every_objective
def test_gradient_of_a_batch_is_the_sum_of_those_of_its_conversations(objective, data_dim):
    """Nothing of one datum reaches another, and no plate is taken for the other's."""
    model, guide = conversations(data_dim)
    guide.family = ByParticle
    parameters = [*model.parameters(), *guide.parameters()]

    def gradient(tokens):
        loss = objective.differentiable_loss(model, guide, tokens=tokens)
        return loss.detach(), torch.cat(
            [grad.flatten() for grad in torch.autograd.grad(loss, parameters)]
        )

    loss, whole = gradient(CONVERSATIONS)
    alone = [
        gradient(CONVERSATIONS[row : row + 1, :turns, :width])
        for row, turns, width in ((0, 3, 4), (1, 1, 3), (2, 2, 3))
    ]
    assert loss.item() == pytest.approx(sum(one.item() for one, _ in alone), rel=1e-12)
    torch.testing.assert_close(whole, sum(one for _, one in alone), rtol=1e-9, atol=1e-11)
    assert whole.abs().max() > 0.1


@both_layouts
def test_parts_of_a_gradient_add_up(data_dim):
    """With one group PIWAE is IWAE, draw by draw, with its gradient put together from parts."""
    model, guide = conversations(data_dim)
    parameters = [*model.parameters(), *guide.parameters()]
    gradients = []
    for objective in (IWAE(4), PIWAE(4, 1)):
        pyro.set_rng_seed(3)
        loss = objective.differentiable_loss(model, guide, tokens=CONVERSATIONS)
        gradients.append(torch.autograd.grad(loss, parameters))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@both_layouts
@pytest.mark.parametrize(
    ("ours", "theirs", "num_particles"),
    [(BetaELBO, TraceMeanField_ELBO, 1), (BetaELBO, TraceMeanField_ELBO, 3), (IWAE, Trace_ELBO, 1)],
)
def test_bounds_and_gradients_are_pyros_at_the_same_draws(ours, theirs, num_particles, data_dim):
    """BetaELBO has the closed forms of Pyro; with one draw IWAE is the plain bound."""
    model, guide = conversations(data_dim)
    parameters = [*model.parameters(), *guide.parameters()]
    pyro.set_rng_seed(2)
    options = {"num_particles": num_particles, "vectorize_particles": True}
    loss = ours(**options)(model, guide)(tokens=CONVERSATIONS)
    pyro.set_rng_seed(2)
    expected = theirs(**options, max_plate_nesting=2)(model, guide)(tokens=CONVERSATIONS)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    found = torch.autograd.grad(loss, parameters, retain_graph=True)
    for one, other in zip(found, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


@both_layouts
def test_vectorised_particles_have_the_bounds_of_a_loop(data_dim):
    """Means of 4,000 and of 100 draws, within 4.5 standard errors of their difference."""
    pair = conversations(data_dim)
    with torch.no_grad():
        pyro.set_rng_seed(0)
        vectorised = log_weights(*pair, {"tokens": CONVERSATIONS}, 4000)
        looped = BetaELBO(num_particles=100, vectorize_particles=False).terms(
            *pair, tokens=CONVERSATIONS
        )
    assert vectorised.shape == (4000, 3)
    assert looped.log_weights.shape == (100, 3)
    difference = vectorised.mean(0) - looped.log_weights.mean(0)
    error = (vectorised.var(0) / 4000 + looped.log_weights.var(0) / 100).sqrt()
    assert (difference.abs() / error < 4.5).all()


def test_latent_in_the_inner_plate_alone_is_refused_by_name():
    class Stray(PyroModule):
        """Turns that belong to no conversation."""

        def forward(self, tokens):
            with pyro.plate("turns", 3, dim=-2):
                pyro.sample("stray", dist.Normal(torch.zeros(3, 1), 1.0))
            with pyro.plate("data", len(tokens), dim=-1), pyro.plate("turns ", 3, dim=-2):
                pyro.sample("z", dist.Normal(torch.zeros(3, 1), 1.0))

    for objective in (BetaELBO(), IWAE(4)):
        with pytest.raises(ValueError, match="site 'stray' is outside the plate 'data'"):
            objective.differentiable_loss(Stray(), Stray(), tokens=CONVERSATIONS)


def test_plates_are_looked_for_once_for_a_pair_and_leave_no_mark():
    model, guide = conversations(-2)
    calls = []
    guide.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    state = torch.get_rng_state()
    plates = find_plates(model, guide, (), {"tokens": CONVERSATIONS})
    assert torch.equal(torch.get_rng_state(), state)
    assert calls == [False]
    assert plates.nesting == 2
    assert plates.sites["z"].inner == ()
    assert plates.sites["z_turn"].inner == (-1,)
    for _ in range(3):
        IWAE(4)(model, guide)(tokens=CONVERSATIONS[:2])
    assert calls == [False, True, True, True]
    conversations_again = conversations(-1)
    assert find_plates(*conversations_again, (), {"tokens": CONVERSATIONS}).sites["z"].data == -1


@both_layouts
def test_draws_go_to_datum_first_and_back(data_dim):
    model, guide = conversations(data_dim)
    plates = find_plates(model, guide, (), {"tokens": CONVERSATIONS})
    site = plates.sites["z_turn"]
    z_turn = torch.arange(4 * 3 * 2).reshape(4, 3, 2, 1)
    in_program = site.as_in_program(z_turn, 2)
    assert in_program.shape == ((4, 3, 2, 1) if data_dim == -2 else (4, 2, 3, 1))
    assert torch.equal(site.datum_first(in_program), z_turn)
    site = plates.sites["z"]
    z = torch.arange(4 * 3).reshape(4, 3, 1)
    in_program = site.as_in_program(z, 2)
    assert in_program.shape == ((4, 3, 1, 1) if data_dim == -2 else (4, 1, 3, 1))
    assert torch.equal(site.datum_first(in_program), z)
    assert site.as_in_program(z[0], 2, particles=False).shape == (
        (3, 1, 1) if data_dim == -2 else (3, 1)
    )


def test_what_needs_one_vector_for_each_sentence_is_refused_by_name():
    model, guide = conversations(-2)
    with pytest.raises(ValueError, match="latent site 'z' is not in the plate 'data' alone"):
        SemiAmortisedELBO()(model, guide)(tokens=CONVERSATIONS)
    model, guide = conversations(-1)
    with pytest.raises(ValueError, match="latent site 'z_turn' is not in the plate 'data' alone"):
        SemiAmortisedELBO()(model, guide)(tokens=CONVERSATIONS)
    objective = BetaELBO(constraint=MaximumMeanDiscrepancy(10.0))
    with pytest.raises(ValueError, match=r"'z_turn' has several, in the plate 'turns': take"):
        objective(model, guide)(tokens=CONVERSATIONS)


def test_semi_amortised_bound_takes_text_in_an_inner_plate():
    """One latent for each conversation: three steps of ascent raise its bound."""
    model, guide = conversations(-1, turn_latents=False)
    guide.z = torch.nn.Linear(6, 2).double()
    pyro.set_rng_seed(0)
    plain = BetaELBO(num_particles=64).loss(model, guide, tokens=CONVERSATIONS)
    objective = SemiAmortisedELBO(num_particles=64, num_steps=5, step_size=0.2)
    assert objective.loss(model, guide, tokens=CONVERSATIONS) < plain - 0.1
