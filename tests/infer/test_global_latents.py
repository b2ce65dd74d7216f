# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Latents of the whole corpus: the losses of an epoch add up to the bound of the corpus, once."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceMeanField_ELBO,
    TraceTailAdaptive_ELBO,
)
from pyro.nn import PyroModule

from pyro_textvae import zoo
from pyro_textvae.infer import CIWAE, IWAE, MIWAE, STL, VIMCO, BetaELBO, DReG, RenyiIWAE
from pyro_textvae.infer.loss_module import loss_module
from tests.programs.shared_mean import SharedMean, SharedMeanGuide, log_evidence

X = torch.tensor([0.3, 1.9, -0.4, 2.2, 1.1], dtype=torch.float64)
BATCHES = [X[:2], X[2:3], X[3:]]
TAKES_THEM = [BetaELBO, CIWAE, DReG, IWAE, MIWAE, RenyiIWAE, STL, VIMCO]
takes_them = pytest.mark.parametrize("kind", TAKES_THEM)


def make(kind, **options):
    return kind(num_particles=4, corpus_size=len(X), **options)


@takes_them
@pytest.mark.parametrize("vectorize_particles", [True, False])
def test_losses_of_an_epoch_add_up_to_the_log_evidence_where_the_guide_is_exact(
    kind, vectorize_particles
):
    """Each batch by the same draw of the mean: a term counted twice, or not at all, would show."""
    objective = make(kind, vectorize_particles=vectorize_particles)
    guide, total = SharedMeanGuide.exact(X), 0.0
    for batch in BATCHES:
        pyro.set_rng_seed(3)
        total += objective.loss(SharedMean(), guide, tokens=batch)
    assert total == pytest.approx(-log_evidence(X).item(), abs=1e-9)


@takes_them
def test_gradient_is_that_of_the_bound_of_the_corpus(kind):
    """In the guide's mean it is in closed form where the latents of each number are exact."""
    model, guide, draws = SharedMean(), SharedMeanGuide(0.7, 0.3, closed_form=True), []
    objective = make(kind)
    for seed in range(40):
        pyro.set_rng_seed(seed)
        guide.zero_grad()
        for batch in BATCHES:
            objective.differentiable_loss(model, guide, tokens=batch).backward()
        draws.append(-guide.loc.grad)
    gradients = torch.stack(draws)
    expected = (X - 0.7).sum() / 2 - 0.7
    z = (gradients.mean() - expected) / gradients.std() * math.sqrt(len(gradients))
    assert abs(z) < 4.5
    assert gradients.std() < 2.0


class InPlate(PyroModule):
    """:class:`SharedMean` and its guide with Pyro's own subsampling."""

    def __init__(self, program):
        super().__init__()
        self.program = program

    def forward(self, tokens):
        plate = pyro.plate

        def part(name, size):
            return plate(name, len(X), subsample=torch.arange(size))

        pyro.plate = part
        try:
            self.program(tokens)
        finally:
            pyro.plate = plate


@pytest.mark.parametrize("batch", BATCHES)
def test_equals_the_elbo_of_pyro_with_the_plate_subsampled(batch):
    """Up to its scale, draw by draw, gradient too; and to the number where the plate says it."""
    results = []
    for loss, wrap in (
        (BetaELBO(corpus_size=len(X)), lambda program: program),
        (BetaELBO(), InPlate),
        (Trace_ELBO(), InPlate),
    ):
        guide = SharedMeanGuide(0.7, 0.3)
        pyro.set_rng_seed(1)
        value = loss.differentiable_loss(wrap(SharedMean()), wrap(guide), batch)
        value.backward()
        results.append((value.item(), guide.loc.grad.item()))
    plain, in_plate, of_pyro = results
    scale = len(X) / len(batch)
    assert in_plate == pytest.approx(of_pyro, rel=1e-10)
    assert tuple(scale * number for number in plain) == pytest.approx(of_pyro, rel=1e-10)


@pytest.mark.parametrize("theirs", [Trace_ELBO, TraceMeanField_ELBO, TraceEnum_ELBO])
@pytest.mark.parametrize("closed_form", [True, False])
def test_objectives_of_pyro_are_given_the_share_of_a_batch(theirs, closed_form):
    """As a run trains them: in the mean over draws the loss is that of ``BetaELBO``."""
    means = []
    for objective in (theirs(strict_enumeration_warning=False), BetaELBO()):
        guide = SharedMeanGuide(0.7, 0.3, closed_form=closed_form)
        loss = loss_module(objective, SharedMean(), guide, len(X))
        values = []
        for seed in range(100):
            pyro.set_rng_seed(seed)
            values.append(loss(tokens=BATCHES[0]).detach())
        values = torch.stack(values)
        means.append((values.mean(), values.var() / len(values)))
    (mean, error), (other, other_error) = means
    assert abs(mean - other) / (error + other_error).sqrt() < 4.5
    assert (error + other_error).sqrt() < 0.2


def test_kl_weight_is_that_of_global_latents_too():
    losses = []
    for weight in (0.0, 1.0, 0.5):
        objective = BetaELBO(weight, corpus_size=len(X))
        pyro.set_rng_seed(0)
        losses.append(objective.loss(SharedMean(), SharedMeanGuide(0.7, 0.3), tokens=X))
    without, whole, half = losses
    terms = BetaELBO().terms(SharedMean(), SharedMeanGuide(0.7, 0.3, closed_form=True), tokens=X)
    closed_form = 0.5 * (0.09 + 0.49 - 1) - math.log(0.3)
    assert terms.global_kl.item() == pytest.approx(closed_form)
    assert half == pytest.approx((without + whole) / 2)


def test_particles_share_one_draw_of_what_is_global():
    for vectorize_particles in (True, False):
        seen = []

        class Watched(SharedMean):
            def forward(self, tokens, seen=seen):
                trace = poutine.trace(super().forward).get_trace(tokens)
                seen.append(trace.nodes["mean"]["value"])

        objective = IWAE(3, corpus_size=5, vectorize_particles=vectorize_particles)
        objective.terms(Watched(), SharedMeanGuide(), tokens=X)
        assert all(value.shape == () for value in seen)
        assert len({value.item() for value in seen[-3:]}) == 1


def test_batches_teach_the_posterior_of_the_mean():
    """By batches, with the closed form of the posterior's mean as the truth."""
    guide = SharedMeanGuide(0.0, math.sqrt(1 / (1 + len(X) / 2)), closed_form=True)
    optimizer = torch.optim.SGD(guide.parameters(), lr=0.1)
    loss = loss_module(BetaELBO(num_particles=8, corpus_size=len(X)), SharedMean(), guide)
    pyro.set_rng_seed(0)
    path = []
    for step in range(300):
        optimizer.zero_grad()
        loss(tokens=BATCHES[step % 3]).backward()
        optimizer.step()
        path.append(guide.loc.item())
    assert sum(path[100:]) / 200 == pytest.approx(SharedMeanGuide.exact(X).loc.item(), abs=0.05)


EVERY = [zoo.load("objectives", name) for name in zoo.names("objectives")]


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind not in TAKES_THEM])
def test_objectives_that_need_more_than_one_draw_refuse_by_name(kind):
    for call in ("differentiable_loss", "loss"):
        with pytest.raises(ValueError, match=f"site 'mean' .*, which {kind.__name__} cannot train"):
            getattr(make(kind), call)(SharedMean(), SharedMeanGuide(), tokens=X)
    assert kind.takes_global_latents is False


def test_objective_of_pyro_that_is_no_sum_refuses_by_name():
    loss = loss_module(TraceTailAdaptive_ELBO(2), SharedMean(), SharedMeanGuide(), len(X))
    with pytest.raises(ValueError, match="'mean' .*, which TraceTailAdaptive_ELBO cannot train"):
        loss(tokens=X)
    in_plate = loss_module(Trace_ELBO(), InPlate(SharedMean()), InPlate(SharedMeanGuide()), len(X))
    with pytest.raises(ValueError, match="'mean' is outside the plate 'data', which is subsampled"):
        in_plate(tokens=X[:2])


@pytest.mark.parametrize("objective", [BetaELBO(), IWAE(3), Trace_ELBO()])
def test_unknown_size_of_the_corpus_is_refused(objective):
    name = type(objective).__name__
    loss = loss_module(objective, SharedMean(), SharedMeanGuide())
    with pytest.raises(ValueError, match=f"'mean' .* size {name} was not told: give corpus_size="):
        loss(tokens=X)


def test_two_sizes_and_no_size_are_refused():
    with pytest.raises(ValueError, match="corpus_size must be at least 1, got 0"):
        BetaELBO(corpus_size=0)
    pair = InPlate(SharedMean()), InPlate(SharedMeanGuide())
    with pytest.raises(ValueError, match="corpus_size is 7, and the plate 'data' .* size 5"):
        BetaELBO(corpus_size=7).loss(*pair, X[:2])


class ForgottenPlate(PyroModule):
    """A latent of each number, drawn for all of them at once."""

    def __init__(self, *, observes):
        super().__init__()
        self.observes = observes

    def forward(self, tokens):
        zeros = torch.zeros(len(tokens), dtype=torch.float64)
        z = pyro.sample("z", dist.Normal(zeros, 1.0).to_event(1))
        if self.observes:
            with pyro.plate("data", len(tokens)):
                pyro.sample("x", dist.Normal(z, 1.0), obs=tokens)


@pytest.mark.parametrize("objective", [BetaELBO(corpus_size=9), IWAE(3, corpus_size=9)])
def test_forgotten_plate_is_no_global_latent(objective):
    pair = ForgottenPlate(observes=True), ForgottenPlate(observes=False)
    with pytest.raises(
        ValueError, match=r"'z' is outside .* shape \(1,\) for one sentence, \(2,\)"
    ):
        objective.differentiable_loss(*pair, tokens=X)


def test_guide_without_a_gradient_is_refused():
    class Discrete(SharedMeanGuide):
        def of_mean(self):
            return dist.Bernoulli(0.5)

    with pytest.raises(ValueError, match="global latent 'mean' is not reparameterised"):
        make(VIMCO).differentiable_loss(SharedMean(), Discrete(), tokens=X)


def test_scale_of_a_global_latent_alone_is_refused():
    class Scaled(SharedMean):
        def forward(self, tokens):
            with poutine.scale(scale=0.5):
                mean = pyro.sample("mean", dist.Normal(tokens.new_zeros(()), 1.0))
            with pyro.plate("data", len(tokens)):
                z = pyro.sample("z", dist.Normal(mean, 1.0))
                pyro.sample("x", dist.Normal(z, 1.0), obs=tokens)

    with pytest.raises(ValueError, match="site 'mean' is scaled by 0.5 and another by 1.0"):
        make(BetaELBO).loss(Scaled(), SharedMeanGuide(), tokens=X)


def test_mask_and_plates_of_a_global_latent_count():
    """Three topics in a plate of their own, of which the second is masked out: two KLs of 1/2."""
    mask = torch.tensor([True, False, True])

    def program(loc, observes):
        def run(tokens):
            with pyro.plate("topics", 3), poutine.mask(mask=mask):
                topics = pyro.sample("topic", dist.Normal(loc, 1.0))
            with pyro.plate("data", len(tokens)):
                if observes:
                    pyro.sample("x", dist.Normal(topics.sum(), 1.0), obs=tokens)

        return run

    terms = BetaELBO().terms(program(0.0, True), program(1.0, False), tokens=X)
    assert terms.global_kl.item() == pytest.approx(1.0)
    assert terms.log_likelihood.shape == (1, 5)
