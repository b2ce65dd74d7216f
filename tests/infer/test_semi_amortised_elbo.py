# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import re

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.guides import PowerSphericalGuide
from pyro_textvae.infer import BetaELBO, SemiAmortisedELBO
from tests.programs.pairs import TEXT_AND_SOURCE, hierarchy

X = torch.tensor([1.3, -0.4], dtype=torch.float64)
TEXT = TEXT_AND_SOURCE["tokens"]


class Model(PyroModule):
    """z ~ N(0, 1), x | z ~ N(shift + z, 1)."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            z = pyro.sample("z", dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(self.shift + z, 1.0).to_event(1), obs=tokens)


class Guide(PyroModule):
    """q(z | x) = N(a x, exp(v)), far from the posterior N((x - shift) / 2, 1 / 2)."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(-0.3, dtype=torch.float64))
        self.log_variance = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            scale = (0.5 * self.log_variance).exp().expand_as(tokens)
            pyro.sample("z", dist.Normal(self.slope * tokens, scale).to_event(1))


def refined(model, guide, x, num_steps, step_size):
    """The bound in closed form, at a posterior refined by hand with exact gradients."""
    loc, log_variance = guide.slope * x, guide.log_variance.expand_as(x)

    def bound(loc, log_variance):
        error = (x - model.shift - loc).square() + log_variance.exp()
        kl = 0.5 * (loc.square() + log_variance.exp() - 1 - log_variance)
        return -0.5 * (error + torch.log(torch.tensor(2 * torch.pi))) - kl

    for _ in range(num_steps):
        gradients = torch.autograd.grad(
            bound(loc, log_variance).sum(), [loc, log_variance], create_graph=True
        )
        loc = loc + step_size * gradients[0]
        log_variance = log_variance + step_size * gradients[1]
    return bound(loc, log_variance)


def test_gradient_through_the_steps_is_that_of_the_exact_refined_bound():
    """With many particles the noise is averaged away: 40 losses, |z| < 4.5 for each gradient."""
    model, guide = Model(), Guide()
    parameters = [model.shift, guide.slope, guide.log_variance]
    exact = torch.stack(torch.autograd.grad(refined(model, guide, X, 3, 0.2).sum(), parameters))
    objective = SemiAmortisedELBO(num_particles=2000, num_steps=3, step_size=0.2, clip_norm=100.0)
    losses = objective(model, guide)
    found = torch.stack(
        [
            -torch.stack(torch.autograd.grad(losses(tokens=X.unsqueeze(1)), parameters))
            for _ in range(40)
        ]
    )
    error = found.std(0) / 40**0.5
    assert ((found.mean(0) - exact).abs() / error < 4.5).all()
    assert (error < 0.03 * exact.abs()).all()


def test_enough_steps_reach_log_px_from_a_bad_guide():
    """The posterior is a diagonal Gaussian here, so the refined bound ends at log p(x)."""
    model = Model()
    exact = dist.Normal(model.shift, 2**0.5).log_prob(X).sum().item()
    objective = SemiAmortisedELBO(num_particles=4000, num_steps=60, step_size=0.3)
    assert -objective.loss(model, Guide(), tokens=X.unsqueeze(1)) == pytest.approx(exact, abs=0.02)
    assert -BetaELBO(num_particles=4000).loss(model, Guide(), tokens=X.unsqueeze(1)) < exact - 0.3


def test_first_order_form_gives_the_guide_the_gradient_where_the_steps_end():
    model, guide = Model(), Guide()
    objective = SemiAmortisedELBO(
        num_particles=4000, num_steps=60, step_size=0.3, through_steps=False
    )
    gradients = torch.autograd.grad(
        objective(model, guide)(tokens=X.unsqueeze(1)), [guide.slope, model.shift]
    )
    assert abs(gradients[0].item()) < 0.1  # the end is the optimum
    posterior_error = (X - model.shift).sum().item() / 2
    assert -gradients[1].item() == pytest.approx(posterior_error, abs=0.1)


def test_steps_of_a_sentence_are_clipped_by_its_own_gradient(pair, tokens):
    """Bit for bit the same noise: a batch's other sentence, however far off, moves nothing."""
    model, guide = Model(), Guide()
    objective = SemiAmortisedELBO(num_steps=4, step_size=0.1, clip_norm=0.05)
    alone, beside = [], []
    for batch, kept in ((X[:1], alone), (torch.stack([X[0], X[0] * 1e3]), beside)):
        for seed in range(3):
            pyro.set_rng_seed(seed)
            torch.manual_seed(seed)
            kept.append(_first_place(objective, model, guide, batch.unsqueeze(1)))
    assert torch.stack(alone).shape == torch.stack(beside).shape
    # The noise differs between batches of two sizes, the length of a clipped step does not.
    start = guide.slope.item() * X[0].item()
    for place in (*alone, *beside):
        assert 0.01 < abs(place.item() - start) <= 4 * 0.1 * 0.05 + 1e-12


def _first_place(objective, model, guide, batch):
    return objective.terms(model, guide, tokens=batch).passes[0][0].posterior.mean[..., 0, 0]


def test_trains_a_sentence_vae_and_keeps_the_guide_in_the_graph(pair, tokens):
    model, guide = pair
    loss = SemiAmortisedELBO(num_steps=2, step_size=0.5, num_particles=3)(model, guide)
    loss(tokens=tokens).backward()
    for parameter in (*model.parameters(), *guide.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"step_size": 0.0}, "step_size must be positive, got 0.0"),
        ({"clip_norm": float("nan")}, "clip_norm must be positive, got nan"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SemiAmortisedELBO(**options)


def test_a_guide_that_is_no_diagonal_gaussian_is_refused(pair, tokens):
    guide = PowerSphericalGuide(encoder=pair[1].encoder, latent_dim=2).double()
    with pytest.raises(ValueError, match="'z' is PowerSpherical .* use guide gaussian"):
        SemiAmortisedELBO()(pair[0], guide)(tokens=tokens)


def test_a_ladder_of_latents_is_refused_and_independent_ones_are_refined():
    """Steps of one latent would leave the other's posterior where its old draws had put it."""
    model, ladder = hierarchy()
    refuses = pytest.raises(ValueError, match="draws latent site 'z' from its draw of 'topic'")
    with refuses:
        SemiAmortisedELBO()(model, ladder)(tokens=TEXT)
    with torch.no_grad(), refuses:
        SemiAmortisedELBO().loss(model, ladder, tokens=TEXT)
    torch.nn.init.zeros_(ladder.z.weight)  # a tie of strength 0 is one
    with refuses:
        SemiAmortisedELBO()(model, ladder)(tokens=TEXT)

    class Apart(type(ladder)):
        def forward(self, tokens, *, size=None):
            features = self.encoder(tokens)
            with pyro.plate("data", len(tokens)):
                for name, linear in (("topic", self.topic), ("z", self.apart)):
                    loc, log_scale = linear(features).chunk(2, -1)
                    pyro.sample(name, dist.Normal(loc, log_scale.exp()).to_event(1))

    guide = Apart(ladder.encoder, 2).double()
    guide.apart = nn.Linear(guide.encoder.output_dim, 4).double()
    SemiAmortisedELBO(num_particles=2)(model, guide)(tokens=TEXT).backward()
    assert guide.apart.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("shape", "event_dim"), [((2, 2), 2), ((), 0)])
def test_gaussians_that_are_no_vectors_are_told_what_they_are(shape, event_dim):
    def program(tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(torch.zeros(len(tokens), *shape), 1.0).to_event(event_dim))

    with pytest.raises(ValueError, match=f"'z' has event shape {re.escape(str(shape))}, and only"):
        SemiAmortisedELBO()(program, program)(tokens=X.unsqueeze(1))


def test_scale_stays_outside_and_masked_sentences_count_nothing(pair, tokens):
    model, guide = pair
    keep = torch.tensor([True, True, False, False])
    objective = SemiAmortisedELBO(num_steps=2, step_size=0.1)
    masked = (pyro.poutine.mask(program, mask=keep) for program in (model, guide))
    terms = objective.terms(*masked, tokens=tokens)
    assert (terms.total_kl[:, ~keep] == 0).all()
    assert (terms.total_kl[:, keep] > 0).all()
    losses = []
    for scale in (1.0, 3.0):
        pyro.set_rng_seed(4)
        scaled = (pyro.poutine.scale(program, scale) for program in (model, guide))
        losses.append(objective.loss(*scaled, tokens=tokens))
    assert losses[1] == pytest.approx(3.0 * losses[0], rel=1e-12)


def test_a_guide_with_a_fixed_scale_is_refined_too(tokens):

    class FixedScale(Guide):
        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                pyro.sample("z", dist.Normal(self.slope * tokens, 0.5).to_event(1))

    model, guide = Model(), FixedScale()
    SemiAmortisedELBO(num_steps=2)(model, guide)(tokens=X.unsqueeze(1)).backward()
    assert guide.slope.grad.abs() > 0
    assert guide.log_variance.grad is None
