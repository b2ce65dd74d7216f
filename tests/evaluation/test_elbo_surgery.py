# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math
from dataclasses import replace

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import kl_divergence

from pyro_textvae.evaluation import information
from pyro_textvae.evaluation.latents.elbo_surgery import LatentDraws, elbo_surgery
from tests.evaluation.table_pair import Table, batches_of, standard_normal, table_guide

LOC = torch.tensor([[0.0, 0.2], [1.0, 1.1], [-1.2, -0.6], [0.4, -0.3], [1.5, 0.9]]).double()
SCALE = torch.tensor([[0.9, 0.6], [0.5, 0.8], [0.7, 0.4], [1.1, 0.9], [0.4, 0.5]]).double()
PARTS = ("mutual_information", "aggregate_kl", "total_correlation", "dimensionwise_kl")


def parts_by_quadrature(family):
    """The four parts for five sentences in two dimensions under a standard normal prior."""
    points = torch.linspace(-12.0, 12.0, 1201, dtype=torch.float64)
    cell = (points[1] - points[0]).item()
    each = [family(LOC[:, j], SCALE[:, j]).log_prob(points[:, None]).exp() for j in range(2)]
    components = torch.einsum("an,bn->nab", *each)
    mixture = components.mean(0)
    marginals = [density.mean(1) for density in each]
    prior = dist.Normal(0.0, 1.0).log_prob(points).exp()

    def kl(p, q):
        return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum().item() * cell**2

    product = torch.outer(*marginals)
    mutual_information = sum(kl(component, mixture) for component in components) / 5
    prior_product = torch.outer(prior, prior)
    return {
        "mutual_information": mutual_information,
        "aggregate_kl": kl(mixture, prior_product),
        "total_correlation": kl(mixture, product),
        "dimensionwise_kl": kl(product, prior_product),
    }


def draws_of(posterior, prior, closed_forms, per_sentence=40):
    z = posterior.sample((per_sentence,)).transpose(0, 1).flatten(0, 1)
    return LatentDraws(
        z=z,
        sentence=torch.arange(posterior.batch_shape[0]).repeat_interleave(per_sentence),
        log_prior=prior.log_prob(z),
        shared_prior=True,
        factorised_prior=True,
        closed_forms=closed_forms,
    )


@pytest.mark.parametrize("family", [dist.Normal, dist.Laplace])
def test_all_parts_agree_with_quadrature_and_spread_as_their_standard_errors_say(family):
    truth = parts_by_quadrature(family)
    guide, model = table_guide(LOC, SCALE, family), standard_normal(2)
    results = [information(model, guide, batches_of(5), seed, num_draws=200) for seed in range(60)]
    for part in PARTS:
        values = torch.tensor([getattr(result, part) for result in results])
        errors = [getattr(result, f"{part}_standard_error") for result in results]
        error = sum(errors) / len(errors)
        assert abs(values.mean() - truth[part]) < 4.5 * values.std() / math.sqrt(60), part
        # Sixty estimates show their spread to 9 %; the errors count sentences' differences as
        # noise, so they may be too large, never too small.
        assert values.std() < 1.4 * error, part
        assert error < 3.0 * values.std(), part


def test_parts_add_up_to_what_is_known_of_the_kl():
    """KL = I_N + KL(q_N, p), against the KL by hand, for any number of draws."""
    kl = 0.5 * (LOC.square() + SCALE.square() - 1 - 2 * SCALE.log()).sum(1).mean().item()
    for num_draws in (10, 33):
        result = information(
            standard_normal(2), table_guide(LOC, SCALE), batches_of(5, 2), num_draws=num_draws
        )
        assert result.kl == pytest.approx(kl, abs=1e-12)
        assert result.sampled_kl == pytest.approx(kl, abs=1e-9)
        parts = result.mutual_information + result.aggregate_kl
        assert parts == pytest.approx(kl, abs=1e-9)
        dimensions = result.total_correlation + result.dimensionwise_kl
        assert dimensions == pytest.approx(result.aggregate_kl, abs=1e-9)


def test_parts_add_up_to_the_mean_over_the_draws_where_nothing_is_known():
    """Both sides from densities written out here, on the very draws."""
    posterior = dist.Normal(LOC, SCALE).to_event(1)
    draws = draws_of(posterior, dist.Normal(torch.zeros(2).double(), 1.0).to_event(1), {})
    result = elbo_surgery([posterior], draws)
    loc, scale = LOC.repeat_interleave(40, 0), SCALE.repeat_interleave(40, 0)
    log_q = -0.5 * ((draws.z - loc) / scale).square().sum(1) - scale.log().sum(1)
    log_p = -0.5 * draws.z.square().sum(1)  # the same constant is left out of both
    sampled = (log_q - log_p).mean().item()
    assert result.sampled_kl == pytest.approx(sampled, abs=1e-12)
    assert result.mutual_information + result.aggregate_kl == pytest.approx(sampled, abs=1e-9)
    parts = result.total_correlation + result.dimensionwise_kl
    assert parts == pytest.approx(result.aggregate_kl, abs=1e-9)


@pytest.mark.parametrize(
    ("nats", "times"),
    [(0.1, 10.0), (1.0, 10.0), (4.0, 2.5), (12.0, 1.0)],
    ids=["near collapse", "one nat", "four nats", "at the ceiling"],
)
def test_known_kl_takes_noise_out_of_the_information(nats, times):
    """An aggregate close to the prior, as a trained pair has it; with and without the formulas.

    The factors are below those measured with N = 1000: 14, 13, 2.6 and 1.1 in standard error.
    """
    count, dim = 600, 8
    variance = math.exp(-2 * nats / dim)
    generator = torch.Generator().manual_seed(5)
    loc = math.sqrt(1 - variance) * torch.randn(count, dim, generator=generator).double()
    posterior = dist.Normal(loc, math.sqrt(variance)).to_event(1)
    prior = dist.Normal(torch.zeros(count, dim).double(), 1.0).to_event(1)
    known = {"KL": kl_divergence(posterior, prior), "entropy": posterior.entropy()}
    draws = draws_of(posterior, prior, known, per_sentence=1)
    result = elbo_surgery([posterior], draws, total_correlation=False)
    unknown = replace(draws, closed_forms={})
    plain = elbo_surgery([posterior], unknown, total_correlation=False)
    error = result.mutual_information_standard_error
    assert error * times < 1.05 * plain.mutual_information_standard_error
    both = math.hypot(error, plain.mutual_information_standard_error)
    assert abs(result.mutual_information - plain.mutual_information) < 4.5 * both
    # I_N <= KL is a theorem. The plain estimate of 0.1 nats misses it at every second seed.
    assert result.mutual_information <= known["KL"].mean().item() + 4.5 * error


def test_near_collapse_the_information_stays_below_the_kl():
    count, dim = 400, 8
    loc = 0.2 * torch.randn(count, dim, generator=torch.Generator().manual_seed(5)).double()
    guide, model = table_guide(loc, 0.9), standard_normal(dim)
    results = [information(model, guide, batches_of(count), seed, num_draws=1) for seed in range(9)]
    # The gap, KL(q_N, p), is 0.11 nats, of which one draw for each sentence leaves 0.005 open.
    assert all(result.mutual_information < result.kl for result in results)


def test_total_correlation_has_the_error_of_the_aggregate_kl_that_it_is_told_by():
    """All of the aggregate KL is correlation here: the rest is known to far better than that."""
    count = 300
    shared = torch.randn(count, 1, generator=torch.Generator().manual_seed(6)).double()
    guide, model = table_guide(0.9 * shared.expand(-1, 2), 0.4), standard_normal(2)
    results = [
        information(model, guide, batches_of(count), seed, num_draws=1) for seed in range(24)
    ]
    values = torch.tensor([result.total_correlation for result in results])
    errors = torch.tensor([result.total_correlation_standard_error for result in results])
    # 24 estimates show their spread to 15 %.
    assert values.std() < 1.6 * errors.mean()
    assert errors.mean() < 3.0 * values.std()
    rest = [result.dimensionwise_kl_standard_error for result in results]
    assert max(rest) < errors.min()


def test_a_wrong_entropy_is_found_out_and_not_used():
    class Boastful(dist.Laplace):
        def entropy(self):
            return super().entropy() + 0.5

    guide, honest = table_guide(LOC, SCALE, Boastful), table_guide(LOC, SCALE, dist.Laplace)
    with pytest.warns(UserWarning, match=r"the entropy of the posteriors is (0.9|1.0)\d* nats off"):
        result = information(standard_normal(2), guide, batches_of(5), num_draws=2000)
    expected = information(standard_normal(2), honest, batches_of(5), num_draws=2000)
    error = 4.5 * expected.mutual_information_standard_error
    assert result.mutual_information == pytest.approx(expected.mutual_information, abs=error)


def test_prior_of_each_sentence_leaves_the_kl_alone():
    """An aggregate over all sentences would count the spread of the priors as information."""
    prior = Table(lambda rows: dist.Normal(LOC[rows] / 2, torch.ones(2).double()).to_event(1))
    result = information(prior, table_guide(LOC, SCALE), batches_of(5, 2), num_draws=100)
    kl = 0.5 * ((LOC / 2).square() + SCALE.square() - 1 - 2 * SCALE.log()).sum(1).mean().item()
    assert result.kl == pytest.approx(kl, abs=1e-12)
    assert result.sampled_kl == pytest.approx(kl, abs=1e-9)
    parts = (*PARTS, "mutual_information_upper")
    assert {getattr(result, part) for part in parts} == {None}
    assert "prior of latent site 'z' differs between sentences" in result.left_out[0]


def test_posteriors_with_correlations_have_no_total_correlation():
    tril = torch.tensor([[0.6, 0.0], [0.5, 0.4]]).double().expand(5, 2, 2)
    guide = Table(lambda rows: dist.MultivariateNormal(LOC[rows], scale_tril=tril[rows]))
    prior = dist.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    result = information(Table(lambda rows: prior), guide, batches_of(5, 3), num_draws=50)
    assert result.total_correlation is result.dimensionwise_kl is None
    parts = result.mutual_information + result.aggregate_kl
    assert parts == pytest.approx(result.kl, abs=1e-9)
    assert result.kl_per_dimension is None


def test_prior_that_is_no_product_leaves_the_dimensions_out():
    components = dist.Normal(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).double(), 1.0).to_event(1)
    mixture = dist.MixtureSameFamily(dist.Categorical(torch.ones(2).double()), components)
    model, guide = Table(lambda rows: mixture), table_guide(LOC, SCALE)
    result = information(model, guide, batches_of(5, 3), num_draws=200)
    assert result.kl == result.sampled_kl
    assert result.kl_per_dimension is result.dimensionwise_kl is None
    parts = result.mutual_information + result.aggregate_kl
    assert parts == pytest.approx(result.kl, abs=1e-9)
    truth = parts_by_quadrature(dist.Normal)
    for part in ("mutual_information", "total_correlation"):
        error = 4.5 * getattr(result, f"{part}_standard_error")
        assert getattr(result, part) == pytest.approx(truth[part], abs=error), part
