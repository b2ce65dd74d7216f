# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Discrete sites summed out of the likelihood, against closed forms.

Under the exact p(z | x, y) all weights of a label are alike, so the sum over labels is right to
rounding, whatever the draws are and whatever q(y | x) is.
"""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import nn
from torch.distributions import kl_divergence

from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.evaluation.annealing.check import check_with_annealing
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.checks import check
from pyro_textvae.evaluation.enumeration import summed_sites
from pyro_textvae.evaluation.enumeration.summed_sites import integrated
from pyro_textvae.evaluation.proposals import (
    AutoProposal,
    GuideProposal,
    MixtureProposal,
    RefinedProposal,
)
from tests.evaluation.labelled_gaussian import (
    CENTRES,
    LOGITS,
    MARK,
    NOISE,
    OFFSETS,
    SLOPE,
    LabelledGaussian,
    LabelledGaussianGuide,
    log_joint,
    pair_of,
    posterior,
)
from tests.evaluation.replicates import z_score

X = torch.tensor([[-1.0, 0.4], [0.3, 1.1], [2.5, 1.0], [-0.2, -2.0]]).double()
LABELS = torch.tensor([0, 2, -1, 1])
TRUTH = log_joint(X)


def scored(x=X, labels=None, *, num_samples=20, model=None, guide=None, **options):
    batch = {"tokens": x} if labels is None else {"tokens": x, "labels": labels}
    masked = labels is not None and bool((labels < 0).any())
    model = model or LabelledGaussian(obs_mask=masked)
    guide = guide or LabelledGaussianGuide(obs_mask=masked)
    return log_likelihood(model, guide, [batch], num_samples, 0, **options)


def numbered(x, count):
    """Replicates of some rows that differ in the last digits of their numbers: other draws."""
    return x.repeat(count, 1) + 1e-9 * torch.arange(count * len(x)).double().unsqueeze(1)


class TestSum:
    def test_is_exact_whatever_the_guide_says_of_the_label(self):
        r = scored()
        assert torch.allclose(r.log_px, TRUTH.logsumexp(1), rtol=1e-6)
        assert torch.allclose(r.summed_out.log_joint, TRUTH, rtol=1e-6)
        assert torch.allclose(r.summed_out.log_posterior("y"), TRUTH.log_softmax(1), atol=1e-6)
        assert (r.standard_error < 1e-6).all()
        assert r.settled.all()
        assert (r.num_draws == 60).all()
        assert (r.decoder_evaluations == 60).all()
        assert r.notes[-1].startswith("'y' summed out: p(x) is the sum over 3 values")

    def test_has_no_name_but_that_of_the_text(self):
        r = scored()
        assert r.nll == r.nll_joint == pytest.approx(-TRUTH.logsumexp(1).mean().item(), rel=1e-6)
        assert r.beside_text == ()
        assert math.isnan(r.label_nll)

    @pytest.mark.parametrize(
        "proposal",
        [
            GuideProposal(),
            MixtureProposal(pilot_draws=16),
            RefinedProposal(steps=5),
            AutoProposal(pilot_draws=16),
        ],
        ids=lambda proposal: proposal.name,
    )
    def test_is_unbiased_under_every_proposal(self, proposal):
        """From a guide that is off, by replicates with random numbers of their own."""
        x = numbered(X[:2], 5)
        guide = LabelledGaussianGuide(shift=0.7, widen=1.3)
        r = scored(x, guide=guide, num_samples=20, proposal=proposal)
        ratios = (r.log_px - log_joint(x).logsumexp(1)).exp()
        assert abs(z_score(ratios, 1.0)) < 4.5
        errors = (r.log_px - log_joint(x).logsumexp(1)) / r.standard_error
        # The square of a score has a mean of about 1 where the errors are right.
        assert 0.2 < errors.square().mean() < 3.0

    def test_has_less_variance_than_drawing_labels(self):
        """At equal decoder evaluations: 10 draws for each of 3 labels, and 30 draws of both.

        The ratio of the mean squared errors is 0.32 over 300 replicates.
        """
        x = numbered(X[:2], 50)
        truth = log_joint(x).logsumexp(1)
        off = {"widen": 1.3}
        summed = scored(x, guide=LabelledGaussianGuide(**off), num_samples=10)
        guide = LabelledGaussianGuide(**off, mark=False)
        drawn = scored(x, guide=guide, num_samples=30)
        assert summed.decoder_evaluations.sum() == drawn.decoder_evaluations.sum()
        assert drawn.summed_out is None
        squares = [(r.log_px - truth).square().mean() for r in (summed, drawn)]
        assert squares[0] < 0.7 * squares[1]

    @pytest.mark.slow
    def test_interval_holds_the_exact_nll(self):
        """In 0.90 to 0.99 of 200 evaluations of 20 sentences; 0.90 is 3 errors below 0.95."""
        x = 1.5 * torch.randn(20, 2, generator=torch.Generator().manual_seed(1)).double()
        nll = -log_joint(x).logsumexp(1).mean().item()
        guide = LabelledGaussianGuide(shift=0.7, widen=1.3)
        held = 0
        for seed in range(200):
            batch = {"tokens": x}
            r = log_likelihood(LabelledGaussian(), guide, [batch], 100, seed)
            low, high = r.nll_interval
            held += low <= nll <= high
        assert 0.90 <= held / 200 <= 0.99

    def test_is_the_same_in_any_batch(self):
        guide = LabelledGaussianGuide(shift=0.5)
        together = scored(guide=guide)
        alone = scored(X[1:2], guide=guide)
        for name in ("log_px", "standard_error", "ess", "elbo", "kl"):
            assert torch.allclose(getattr(together, name)[1:2], getattr(alone, name)), name
        assert torch.equal(together.keys[1:2], alone.keys)

    def test_of_two_sites_is_over_both(self):
        r = log_likelihood(TwoSites(), TwoSitesGuide(), [{"tokens": X}], 10)
        truth = torch.stack([TwoSites.log_joint(X, b) for b in (0.0, 1.0)], 2)
        assert r.summed_out.names == ("y", "b")
        assert torch.allclose(r.log_px, truth.flatten(1).logsumexp(1), rtol=1e-6)
        of_b = r.summed_out.log_posterior("b")
        assert torch.allclose(of_b, truth.logsumexp(1).log_softmax(1), atol=1e-6)

    def test_without_another_latent_is_exact(self):
        r = log_likelihood(NoOther(), NoOtherGuide(), [{"tokens": X}], 10)
        assert r.exact
        assert r.num_draws.sum() == 0
        assert torch.allclose(r.log_px, NoOther.log_joint(X).logsumexp(1), rtol=1e-9)
        assert r.nll_interval == (r.nll, r.nll)
        q = LabelledGaussianGuide().logits(X).log_softmax(1)
        bound = (q.exp() * (NoOther.log_joint(X) - q)).sum(1)
        assert torch.allclose(r.elbo, bound, rtol=1e-9)
        kl = (q.exp() * (q - LOGITS.log_softmax(0))).sum(1)
        assert torch.allclose(r.kl, kl, rtol=1e-9)


class TestBound:
    def test_is_the_mean_over_the_guides_labels(self):
        r = scored(guide=LabelledGaussianGuide())
        q = LabelledGaussianGuide().logits(X).log_softmax(1)
        # Of the exact p(z | x, y) the bound of log p(x, y) is tight.
        assert torch.allclose(r.elbo, (q.exp() * (TRUTH - q)).sum(1), atol=0.3)
        assert torch.allclose(r.elbo, r.reconstruction - r.kl)
        assert (r.elbo < TRUTH.logsumexp(1)).all()
        assert torch.equal(r.elbo, r.elbo_joint)
        of_label = (q.exp() * (q - LOGITS.log_softmax(0))).sum(1)
        of_z = sum(q[:, y].exp() * kl_of_z(X, y) for y in range(3))
        assert torch.allclose(r.kl, of_label + of_z, rtol=1e-6)

    def test_where_labels_are_drawn_given_z(self):
        """E_q(z) sum_y q(y | z) [log p(x, y, z) - log q(z) - log q(y | z)], by quadrature."""
        x = numbered(X[:2], 25)
        guide = LabelledGaussianGuide(after=True)
        r = scored(x, guide=guide, num_samples=8)
        z = torch.linspace(-12, 12, 4001).double().unsqueeze(1)
        log_q_z = dist.Normal(0.4 * x.sum(-1), 1.5).log_prob(z)
        logits = guide.logits(x) + 0.3 * z.unsqueeze(-1) * torch.tensor([-1.5, 0.3, 2.0])
        log_q = logits.log_softmax(-1)
        log_p = torch.stack([log_p_of(x, y, z) for y in range(3)], -1)
        terms = (log_q.exp() * (log_p - log_q)).sum(-1) - log_q_z
        bound = (log_q_z.exp() * terms).sum(0) * (24 / 4000)
        assert abs(z_score(r.elbo - bound, 0.0)) < 4.5
        ratios = (r.log_px - log_joint(x).logsumexp(1)).exp()
        assert abs(z_score(ratios, 1.0)) < 4.5
        given_z = (log_q_z.exp().unsqueeze(-1) * log_q.exp()).sum(0) * (24 / 4000)
        by_guide = r.summed_out.log_posterior_by_guide("y").exp()
        assert torch.allclose(by_guide.mean(0), given_z.mean(0), atol=0.06)


class TestLabels:
    def test_each_number_is_of_what_it_says(self):
        labels = torch.tensor([0, 2, 1, 1])
        r = scored(labels=labels)
        joint = TRUTH.gather(1, labels.unsqueeze(1)).squeeze(1)
        assert r.nll == pytest.approx(-TRUTH.logsumexp(1).mean().item(), rel=1e-6)
        assert r.nll_joint == pytest.approx(-joint.mean().item(), rel=1e-6)
        assert r.label_nll == pytest.approx(r.nll_joint - r.nll, rel=1e-6)
        assert math.isnan(r.label_nll_by_guide)
        assert r.beside_text == ()
        assert r.summed_out.num_labelled == 4
        # Nothing says q(y | x), and a bound of the text needs it; that of both does not.
        assert r.elbo.isnan().all()
        assert r.notes[-1] == "the guide has no q('y' | x): there is no elbo of the text alone"
        assert not r.warnings
        own = r.reconstruction - r.kl + LOGITS.log_softmax(0)[labels]
        assert torch.allclose(own, r.elbo_joint)
        assert torch.allclose(
            r.kl, torch.stack([kl_of_z(X, y) for y in range(3)], 1)[range(4), labels]
        )

    def test_given_in_part(self):
        r = scored(labels=LABELS)
        given = LABELS >= 0
        joint = torch.where(
            given, TRUTH.gather(1, LABELS.clamp(min=0).unsqueeze(1)).squeeze(1), TRUTH.logsumexp(1)
        )
        assert torch.allclose(r.log_px, TRUTH.logsumexp(1), rtol=1e-6)
        assert torch.allclose(r.summed_out.log_given, joint, rtol=1e-6)
        of_labels = (joint - TRUTH.logsumexp(1))[given].mean().item()
        assert r.label_nll == pytest.approx(-of_labels, rel=1e-6)
        q = LabelledGaussianGuide().logits(X).log_softmax(1)
        by_guide = q.gather(1, LABELS.clamp(min=0).unsqueeze(1)).squeeze(1)[given].mean().item()
        assert r.label_nll_by_guide == pytest.approx(-by_guide, rel=1e-9)
        assert torch.allclose(r.elbo, scored().elbo, atol=0.3)
        assert torch.allclose(r.elbo_joint[given], joint[given], atol=0.5)
        assert torch.equal(r.elbo_joint[~given], r.elbo[~given])

    def test_nll_of_the_text_does_not_depend_on_them(self):
        guide = LabelledGaussianGuide(obs_mask=True, shift=0.5)
        model = LabelledGaussian(obs_mask=True)
        one = scored(labels=LABELS, model=model, guide=guide)
        other = scored(labels=torch.tensor([1, -1, 0, 1]), model=model, guide=guide)
        assert torch.equal(one.log_px, other.log_px)
        assert torch.equal(one.keys, other.keys)
        assert not torch.equal(one.summed_out.log_given, other.summed_out.log_given)

    def test_not_summed_over_on_request(self):
        r = scored(labels=LABELS, sum_labels=False)
        assert torch.allclose(r.log_px, scored(labels=LABELS).summed_out.log_given, rtol=1e-6)
        assert r.beside_text == ("y_observed",)
        assert math.isnan(r.nll)
        of_all = scored(labels=torch.tensor([0, 2, 1, 1]), sum_labels=False)
        assert of_all.beside_text == ("y",)
        assert of_all.summed_out is None
        assert (of_all.num_draws == 20).all()

    def test_error_of_the_posterior(self):
        """log p(y | x) by replicates, against its own errors."""
        x = numbered(X[:1], 150)
        labels = torch.zeros(len(x)).long()
        guide = LabelledGaussianGuide(shift=0.7)
        r = scored(x, labels, guide=guide, num_samples=100)
        scores = r.summed_out.label_log_prob - log_joint(x).log_softmax(1)[:, 0]
        assert 0.7 < (scores / r.summed_out.label_error).square().mean() < 1.4
        whole = r.label_nll_standard_error
        assert whole == pytest.approx(scores.std().item() / math.sqrt(150), rel=0.3)


class TestEvidence:
    def test_label_of_next_to_no_probability_costs_nothing(self, monkeypatch):
        """Of the first label the draws are all in the wrong place, and it has e^-12 of p(x)."""
        x = torch.tensor([[4.0, 4.4]]).double()
        r = scored(x, guide=Lopsided(3.0), num_samples=400)
        share = log_joint(x).softmax(1)[0, 0]
        assert share < 1e-3
        bad = log_likelihood(
            LabelledGaussian(),
            Lopsided(3.0),
            [{"tokens": x, "labels": torch.tensor([0])}],
            400,
            sum_labels=False,
        )
        assert not bad.settled.any()
        assert bad.khat > 0.7
        assert r.settled.all()
        assert r.khat == -math.inf
        assert r.ess > 400
        assert r.log_px.item() == pytest.approx(log_joint(x).logsumexp(1).item(), abs=1e-3)

    def test_label_that_counts_does_cost(self):
        x = torch.tensor([[-2.0, -1.5]]).double()
        assert log_joint(x).softmax(1)[0, 0] > 0.3
        r = scored(x, guide=Lopsided(10.0), num_samples=400)
        assert r.khat > 0.7
        assert not r.settled.any()

    def test_error_is_by_shares(self):
        r = scored(guide=LabelledGaussianGuide(shift=0.6), num_samples=200)
        share = r.summed_out.log_joint.softmax(1)
        expected = (share * r.summed_out.standard_error).square().sum(1).sqrt()
        assert torch.allclose(r.standard_error, expected)
        # Kish's size of all 600 weights, which those errors say too.
        of_label = r.summed_out.standard_error.square() * 199 / 200 + 1 / 200
        kish = 1 / (share.square() * of_label).sum(1)
        assert torch.allclose(r.ess, kish, rtol=1e-3)

    def test_halves_are_those_of_the_sum(self):
        guide = LabelledGaussianGuide(shift=0.6)
        whole = scored(guide=guide, num_samples=200)
        assert (whole.doubling >= -1e-12).all()
        assert (whole.doubling < 0.1).all()
        # Of independent halves the difference is that of two draws of twice the variance.
        scores = whole.half_difference / (2 * whole.standard_error)
        assert 0.05 < scores.square().mean() < 4.0


class TestModelsOwn:
    """A latent that the model alone has, and marks."""

    @pytest.mark.parametrize("proposal", [GuideProposal(), MixtureProposal(prior_share=0.5)])
    def test_is_summed_out_of_the_density(self, proposal):
        """Half of the draws are from the prior of z, a mixture, whose density counts too."""
        x = numbered(X[:2], 20)
        model = LabelledGaussian(mark=True)
        r = log_likelihood(model, OfNumber(), [{"tokens": x}], 200, proposal=proposal)
        errors = r.log_px - log_joint(x).logsumexp(1)
        assert abs(z_score(errors.exp(), 1.0)) < 4.5
        assert 0.5 < (errors / r.standard_error).square().mean() < 2.0
        # The proposal's own steps, and each of them is one decoder evaluation, not one a value.
        steps = {GuideProposal: 600, MixtureProposal: 1416}[type(proposal)]
        assert (r.decoder_evaluations == steps).all()
        assert r.summed_out is None
        assert "'y' of the model summed out for every draw of the other latents" in r.notes
        z = torch.linspace(-12, 12, 4001).double().unsqueeze(1)
        q = dist.Normal(0.45 * x.sum(-1), 1.2)
        log_prior = torch.stack([dist.Normal(c, 1.0).log_prob(z) for c in CENTRES], -1)
        log_prior = (log_prior + LOGITS.log_softmax(0)).logsumexp(-1)
        kl = (q.log_prob(z).exp() * (q.log_prob(z) - log_prior)).sum(0) * (24 / 4000)
        assert abs(z_score(r.kl - kl, 0.0)) < 4.5

    def test_text_that_does_not_depend_on_it_is_scored_once(self):
        r = log_likelihood(Clusters(), OfNumber(), [{"tokens": X}], 50)
        assert (r.decoder_evaluations == 50).all()
        assert ((r.log_px - Clusters.log_px(X)).abs() < 4.5 * r.standard_error).all()

    def test_alone_is_exact(self):
        r = log_likelihood(NoOther(mark=True), NoGuide(), [{"tokens": X}], 10)
        assert r.exact
        assert torch.allclose(r.log_px, NoOther.log_joint(X).logsumexp(1), rtol=1e-9)

    def test_beside_a_label(self):
        """Its component is the model's own; the label is observed, and summed out by rows."""
        labels = torch.tensor([0, 1, 1, 0])
        batch = {"tokens": X, "labels": labels}
        r = log_likelihood(LabelOfCluster(), OfNumber(), [batch], 400)
        truth = LabelOfCluster.log_joint(X)
        assert ((r.log_px - truth.logsumexp(1)).abs() < 4.5 * r.standard_error).all()
        of_label = truth.log_softmax(1)[range(4), labels]
        errors = r.summed_out.label_log_prob - of_label
        assert (errors.abs() < 4.5 * r.summed_out.label_error).all()


class TestBesideGlobals:
    def test_is_summed_for_each_of_their_draws(self):
        """log of the mean of p(x, y | g) over q(g), by quadrature."""
        batch = {"tokens": X}
        r = log_likelihood(SharedShift(), SharedShiftGuide(), [batch], 5, num_global_draws=16)
        g = torch.linspace(-2, 2, 401).double()
        of_g = torch.stack([NoOther.log_joint(X - each) for each in g])
        weights = dist.Normal(0.2, 0.3).log_prob(g) + math.log(4 / 400)
        truth = (of_g + weights.reshape(-1, 1, 1)).logsumexp(0)
        errors = (r.log_px - truth.logsumexp(1)) / r.standard_error
        assert (errors.abs() < 4.5).all()
        errors = (r.summed_out.log_joint - truth) / r.summed_out.standard_error
        assert (errors.abs() < 4.5).all()
        assert torch.allclose(r.summed_out.log_joint.logsumexp(1), r.log_px)


class TestCheck:
    def test_names_what_is_not_done_of_sums(self):
        guide = LabelledGaussianGuide(shift=0.5)
        likelihood = scored(X[:1], guide=guide)
        found = check(
            *(LabelledGaussian(), guide, [{"tokens": X[:1]}], likelihood),
            seed=0,
            max_tokens=None,
            progress=False,
        )
        assert found["left_out"][0].startswith("'y' summed out: annealing, the bounds of simu")
        assert "annealing" not in found
        by_proposal = {row["proposal"]: row for row in found["proposals"]}
        assert by_proposal["guide"]["nll"] == pytest.approx(likelihood.nll)
        assert len(by_proposal) > 3

    def test_goes_by_the_density_without_the_models_own(self):
        x = X[:2]
        batches, model, guide = [{"tokens": x}], Clusters(), OfNumber()
        likelihood = log_likelihood(model, guide, batches, 50)
        found = check_with_annealing(
            integrated(model, guide, batches[0], 0),
            guide,
            [{"tokens": row.unsqueeze(0)} for row in x],
            likelihood,
            close=False,
            settings=AnnealingSettings(num_chains=8, num_temperatures=20),
        )
        assert torch.allclose(found.annealed, Clusters.log_px(x), atol=0.5)


class TestInformation:
    def test_prior_is_the_mixture(self):
        """KL to the prior, its mean over sentences and of the aggregate, by quadrature."""
        x = 1.5 * torch.randn(60, 2, generator=torch.Generator().manual_seed(0)).double()
        r = information(Clusters(), OfNumber(), [{"tokens": x}])
        z = torch.linspace(-14, 14, 4001).double().unsqueeze(1)
        q = dist.Normal(0.45 * x.sum(-1), 1.2).log_prob(z)
        log_prior = torch.stack([dist.Normal(c, 1.0).log_prob(z) for c in CENTRES], -1)
        log_prior = (log_prior + LOGITS.log_softmax(0)).logsumexp(-1)
        kl = (q.exp() * (q - log_prior)).sum(0).mean().item() * 28 / 4000
        q_n = q.logsumexp(1, keepdim=True) - math.log(60)
        aggregate = (q_n.exp() * (q_n - log_prior)).sum().item() * 28 / 4000
        assert abs(r.aggregate_kl - aggregate) < 4.5 * r.aggregate_kl_standard_error
        of_mean = r.aggregate_kl_standard_error + r.mutual_information_standard_error
        assert abs(r.kl - kl) < 4.5 * of_mean


class TestRefusals:
    def test_too_many_values(self, monkeypatch):
        monkeypatch.setattr(summed_sites, "MOST_VALUES", 2)
        with pytest.raises(ValueError, match="'y' marked enumerate .* under 3 values, and 2 are"):
            scored()
        r = scored(labels=torch.tensor([0, 2, 1, 1]))
        assert r.beside_text == ("y",)
        assert any(note.startswith("'y' is not summed out, for every sent") for note in r.notes)

    def test_mark_without_a_list_of_values(self):
        with pytest.raises(ValueError, match="'z' is marked enumerate, and the values of its"):
            log_likelihood(NoList(), NoListGuide(), [{"tokens": X}], 10)


def kl_of_z(x, y):
    loc, scale = posterior(x, y)
    return kl_divergence(dist.Normal(loc, scale), dist.Normal(CENTRES[y], 1.0))


def log_p_of(x, y, z):
    """log p(x, y, z) of numbers ``(N, 2)`` and z ``(G, 1)``, ``(G, N)``."""
    loc = (SLOPE * z + OFFSETS[y]).unsqueeze(-1)
    log_px = dist.Normal(loc, NOISE).log_prob(x).sum(-1)
    return LOGITS.log_softmax(0)[y] + dist.Normal(CENTRES[y], 1.0).log_prob(z) + log_px


class Lopsided(LabelledGaussianGuide):
    """The exact p(z | x, y), but far off and narrow for the first label."""

    def __init__(self, off):
        super().__init__()
        self.off = off

    def forward(self, tokens, labels=None, *, size=None):
        with pyro.plate("data", len(tokens)):
            y = self.of_label(labels, self.logits(tokens))
            loc, scale = posterior(tokens, y)
            first = (y == 0).double()
            scale = scale * (1 - 0.7 * first)
            pyro.sample("z", dist.Normal(loc + self.off * scale * first, scale))


class TwoSites(LabelledGaussian):
    """A second site, b ~ Bernoulli(.3), that moves x by b."""

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            b = pyro.sample("b", dist.Bernoulli(0.3 + self.zero))
            return self.given(tokens, b)

    def given(self, tokens, b):
        y = self.of_label(None)
        z = pyro.sample("z", dist.Normal(CENTRES[y], 1.0))
        return pyro.sample("x", pair_of(SLOPE * z + OFFSETS[y] + b), obs=tokens)

    @staticmethod
    def log_joint(x, b):
        """log p(x, y, b), ``(N, 3)``."""
        return log_joint(x - b) + math.log(0.3 if b else 0.7)


class TwoSitesGuide(LabelledGaussianGuide):
    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            y = self.of_label(None, self.logits(tokens))
            b = pyro.sample("b", dist.Bernoulli(torch.sigmoid(self.table[0, 0])), infer=MARK)
            loc, scale = posterior(tokens - b.unsqueeze(-1), y)
            pyro.sample("z", dist.Normal(loc, scale))


class OfNumber(PyroModule):
    """q(z | x), and nothing of y."""

    def __init__(self):
        super().__init__("guide")
        self.zero = nn.Parameter(torch.zeros(()).double())

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(0.45 * tokens.sum(-1) + self.zero, 1.2))


class NoGuide(nn.Module):
    def forward(self, tokens, *, size=None):
        pass


class Clusters(PyroModule):
    """y ~ Categorical, z | y ~ N(centre, 1), x | z: a mixture for a prior."""

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            y = pyro.sample("y", dist.Categorical(logits=LOGITS), infer=MARK)
            z = pyro.sample("z", dist.Normal(CENTRES[y], 1.0))
            return pyro.sample("x", pair_of(z), obs=tokens)

    @staticmethod
    def log_joint(x):
        covariance = NOISE**2 * torch.eye(2).double() + torch.ones(2, 2).double()
        loc = CENTRES.unsqueeze(-1).expand(3, 2)
        given = dist.MultivariateNormal(loc, covariance).log_prob(x.unsqueeze(1))
        return given + LOGITS.log_softmax(0)

    @classmethod
    def log_px(cls, x):
        return cls.log_joint(x).logsumexp(1)


class LabelOfCluster(PyroModule):
    """A cluster, a label of it that is observed, z | cluster, x | z."""

    def forward(self, tokens=None, labels=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            c = pyro.sample("c", dist.Categorical(logits=LOGITS), infer=MARK)
            pyro.sample("y", dist.Categorical(OF_CLUSTER[c]), obs=labels)
            z = pyro.sample("z", dist.Normal(CENTRES[c], 1.0))
            return pyro.sample("x", pair_of(z), obs=tokens)

    @staticmethod
    def log_joint(x):
        both = Clusters.log_joint(x).unsqueeze(-1) + OF_CLUSTER.log()
        return both.logsumexp(1)


OF_CLUSTER = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]).double()


class NoOther(PyroModule):
    """y ~ Categorical, x | y ~ N(y, 1), twice over."""

    def __init__(self, *, mark=False):
        super().__init__("model")
        self.infer = MARK if mark else {}

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            y = pyro.sample("y", dist.Categorical(logits=LOGITS), infer=self.infer)
            loc = y.double().unsqueeze(-1).expand(*y.shape, 2)
            return pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=tokens)

    @staticmethod
    def log_joint(x):
        loc = torch.arange(3).double().unsqueeze(-1)
        return dist.Normal(loc, 1.0).log_prob(x.unsqueeze(1)).sum(-1) + LOGITS.log_softmax(0)


class NoOtherGuide(LabelledGaussianGuide):
    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            self.of_label(None, self.logits(tokens))


class SharedShift(NoOther):
    """A shift of the whole corpus beside: g ~ N(0, 1), x | y, g ~ N(y + g, 1), twice over."""

    def forward(self, tokens=None, *, size=None):
        g = pyro.sample("g", dist.Normal(torch.zeros(()).double(), 1.0))
        with pyro.plate("data", size if tokens is None else len(tokens)):
            y = pyro.sample("y", dist.Categorical(logits=LOGITS))
            loc = (y.double() + g).unsqueeze(-1).expand(*y.shape, 2)
            return pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=tokens)


class SharedShiftGuide(LabelledGaussianGuide):
    def forward(self, tokens, *, size=None):
        pyro.sample("g", dist.Normal(torch.tensor(0.2).double(), 0.3))
        with pyro.plate("data", len(tokens)):
            self.of_label(None, self.logits(tokens))


class NoList(nn.Module):
    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            z = pyro.sample("z", dist.Normal(torch.zeros(()).double(), 1.0))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1), 1.0).to_event(1), obs=tokens)


class NoListGuide(nn.Module):
    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(tokens[:, 0], 1.0), infer=MARK)
