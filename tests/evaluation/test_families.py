# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.evaluation.families import GaussianFamily, SphericalFamily
from tests.evaluation.replicates import z_score

ROUNDING = {"rtol": 0, "atol": 1e-10}
SEEDS = [11, 12, 13]
LOC = torch.tensor([[0.5, -1.0], [2.0, 0.0], [-0.3, 4.0]]).double()
SCALE = torch.tensor([[0.3, 2.0], [1.0, 0.1], [0.7, 0.5]]).double()
TRIL = torch.diag_embed(SCALE) + torch.tensor([[0.0, 0.0], [0.8, 0.0]]).double()


def diagonal(factor=1.0):
    return dist.Normal(LOC, factor * SCALE).to_event(1)


def full(factor=1.0):
    return dist.MultivariateNormal(LOC, scale_tril=factor * TRIL)


def spherical(factor=1.0):
    loc = torch.nn.functional.normalize(torch.cat([LOC, SCALE], -1), dim=-1)
    concentration = torch.tensor([0.5, 8.0, 300.0]).double()
    return PowerSpherical(loc, concentration / factor**2)


POSTERIORS = [diagonal, full, spherical]
GAUSSIANS = [diagonal, full]


def family_of(posterior):
    return (GaussianFamily.of(posterior) or SphericalFamily.of(posterior)).rows(torch.arange(3))


def shifted(family):
    """Another member of a Gaussian's family: off by (0.4, -0.9) and of (1.3, 0.6) its scale."""
    _, member = family.variational()
    scale = torch.tensor([1.3, 0.6]).double().log()
    return member([torch.tensor([0.4, -0.9]).double().expand(3, 2), scale.expand(3, 2)])


def member_of(make):
    """The same member as a distribution of PyTorch, its covariance worked out by hand."""
    tril = TRIL if make is full else torch.diag_embed(SCALE)
    loc = LOC + (tril @ torch.tensor([0.4, -0.9]).double())
    return dist.MultivariateNormal(loc, scale_tril=tril * torch.tensor([1.3, 0.6]).double())


@pytest.mark.parametrize("make", POSTERIORS)
@pytest.mark.parametrize("factor", [1.0, 1.15, 3.0])
def test_density_is_that_of_the_posterior_with_its_scale_widened(make, factor):
    z = make(2.0).sample((50,))
    family = family_of(make())
    log_prob = family.widened(factor).log_prob(z)
    assert log_prob.shape == (50, 3)
    torch.testing.assert_close(log_prob, make(factor).log_prob(z), **ROUNDING)


@pytest.mark.parametrize("make", GAUSSIANS)
def test_density_of_another_member(make):
    z = make(2.0).sample((50,))
    found = shifted(family_of(make())).log_prob(z)
    torch.testing.assert_close(found, member_of(make).log_prob(z), **ROUNDING)


@pytest.mark.parametrize("make", GAUSSIANS)
def test_gradient_in_own_units_is_that_of_the_composed_function(make):
    family = shifted(family_of(make()))
    noise = torch.randn(5, 3, 2).double().requires_grad_()
    z = family.from_own_units(noise)
    cubes = (z**3 * torch.tensor([1.0, -2.0]).double()).sum()
    of_z, of_noise = torch.autograd.grad(cubes, (z, noise))
    torch.testing.assert_close(family.gradient_in_own_units(of_z), of_noise)


@pytest.mark.parametrize("make", GAUSSIANS)
@pytest.mark.parametrize("options", [{}, {"paired": True}, {"quasi_random": True}])
def test_draws_have_the_moments_of_the_member(make, options):
    """Paired draws are averaged over each pair, so that the means are independent.

    Quasi-random draws have less error than the z-score supposes: for them it is a bound.
    """
    z = shifted(family_of(make())).sample(4096, SEEDS, **options)
    expected = member_of(make)
    products = (z - expected.mean).unsqueeze(-1) * (z - expected.mean).unsqueeze(-2)
    if options.get("paired"):
        z, products = (values.unflatten(0, (-1, 2)).mean(1) for values in (z, products))
        torch.testing.assert_close(z, expected.mean.expand_as(z), **ROUNDING)
    else:
        assert z_score(z, expected.mean).abs().max() < 4.5
    assert z_score(products, expected.covariance_matrix).abs().max() < 4.5


@pytest.mark.parametrize("count", [1, 6, 7])
def test_paired_draws_mirror_at_the_mean(count):
    z = shifted(family_of(full())).sample(count, SEEDS, paired=True)
    assert z.shape == (count, 3, 2)
    pairs = z[: count // 2 * 2].unflatten(0, (-1, 2))
    centre = member_of(full).mean.expand(count // 2, 3, 2)
    torch.testing.assert_close(pairs.mean(1), centre, **ROUNDING)
    assert z.unique().numel() == z.numel()


def test_quasi_random_draws_fill_every_strip_and_box_once():
    """Each coordinate has one of 256 points in each 256th; each two share all 16 x 16 boxes.

    That is what makes a Sobol sequence, a (0, m, 2)-net, and no scramble breaks it. Independent
    draws would leave 37 % of the strips and of the boxes empty.
    """
    z = family_of(diagonal()).sample(256, SEEDS, quasi_random=True)
    uniform = dist.Normal(LOC, SCALE).cdf(z)
    strips = (uniform * 256).long().sort(0).values
    assert (strips == torch.arange(256)[:, None, None]).all()
    boxes = (uniform * 16).long()
    assert ((16 * boxes[..., 0] + boxes[..., 1]).sort(0).values == torch.arange(256)[:, None]).all()


def test_quasi_random_scrambles_are_uniform_and_one_for_each_seed():
    """The mean over 2000 scrambles of each of the first draws, and of its square.

    So the mean of any function of the draws is unbiased over the seeds.
    """
    one = family_of(diagonal()).rows(torch.zeros(2000, dtype=torch.long))
    z = one.sample(3, list(range(2000)), quasi_random=True)
    noise = ((z - LOC[0]) / SCALE[0]).transpose(0, 1)
    assert z_score(noise, 0.0).abs().max() < 4.5
    assert z_score(noise.square(), 1.0).abs().max() < 4.5
    assert z_score(noise[..., 0] * noise[..., 1], 0.0).abs().max() < 4.5
    assert noise.unique().numel() > 0.999 * noise.numel()


def test_quasi_random_means_have_a_fraction_of_the_error():
    """By 512 draws the root mean square error of a mean over 300 seeds: 1 / sqrt(512) if random."""
    one = family_of(diagonal()).rows(torch.zeros(300, dtype=torch.long))
    for quasi_random, least, most in ((False, 0.9, 1.1), (True, 0.0, 0.15)):
        z = one.sample(512, list(range(300)), quasi_random=quasi_random)
        noise = (z - LOC[0]) / SCALE[0]
        error = noise.mean(0).square().mean().sqrt() * math.sqrt(512)
        assert least < error < most


@pytest.mark.parametrize("make", POSTERIORS)
@pytest.mark.parametrize("options", [{}, {"paired": True}, {"quasi_random": True}])
def test_draws_of_a_sentence_depend_on_its_seed_alone(make, options):
    family = family_of(make())
    if make is spherical and "quasi_random" in options:
        with pytest.raises(ValueError, match="need a Gaussian posterior, and the guide's is spher"):
            family.sample(8, SEEDS, **options)
        return
    whole = family.sample(8, SEEDS, **options)
    assert whole.shape == (8, *make().mean.shape)
    chosen = torch.tensor([2, 0])
    part = family.rows(chosen).sample(8, [SEEDS[2], SEEDS[0]], **options)
    torch.testing.assert_close(part, whole[:, chosen], rtol=0, atol=0)
    assert not torch.equal(family.sample(8, [11, 12, 14], **options)[:, 2], whole[:, 2])
    same = family.rows(torch.tensor([0, 0])).sample(8, [11, 12], **options)
    assert not torch.equal(same[:, 0], same[:, 1])


@pytest.mark.parametrize("make", POSTERIORS)
def test_rows_are_those_of_the_sentences_chosen(make):
    family, chosen = family_of(make()).widened(1.3), torch.tensor([2, 0])
    z = make().sample((20,))
    found = family.rows(chosen).log_prob(z[:, chosen])
    torch.testing.assert_close(found, family.log_prob(z)[:, chosen], **ROUNDING)


def test_gaussian_draws_leave_the_generator_alone():
    before = torch.get_rng_state()
    for options in ({}, {"paired": True}, {"quasi_random": True}):
        family_of(diagonal()).sample(8, SEEDS, **options)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("make", GAUSSIANS)
@pytest.mark.parametrize("strength", [0.0, 5.0, 1e12])
def test_fit_has_the_moments_of_a_mixture_of_draws_and_member(make, strength):
    """Of the weighted draws as many as their effective number, and ``strength`` of the member.

    In the guide's units, u = tril^-1 (z - loc), and dimension by dimension.
    """
    family = shifted(family_of(make()))
    z = make(1.5).sample((40,))
    weights = torch.randn(40, 3, generator=torch.Generator().manual_seed(3)).double().softmax(0)
    tril = TRIL if make is full else torch.diag_embed(SCALE)
    u = (tril.inverse() @ (z - LOC).unsqueeze(-1)).squeeze(-1)
    share = 1 / (1 + strength * weights.square().sum(0)).unsqueeze(-1)
    own = torch.tensor([0.4, -0.9]).double(), torch.tensor([1.3, 0.6]).double().square()
    first = torch.einsum("kn,knd->nd", weights, u)
    second = torch.einsum("kn,knd->nd", weights, u.square())
    mean = share * first + (1 - share) * own[0]
    square = share * second + (1 - share) * (own[1] + own[0].square())
    fit = family.fitted(z, weights, strength)
    torch.testing.assert_close(fit.loc, mean, **ROUNDING)
    torch.testing.assert_close((2 * fit.log_scale).exp(), square - mean.square(), **ROUNDING)
    if strength == 1e12:
        torch.testing.assert_close(fit.log_prob(z), family.log_prob(z), rtol=0, atol=1e-7)


def test_fit_to_the_weights_of_a_gaussian_finds_it():
    """Self-normalised importance weights: 20,000 draws know its moments to a percent or so.

    The error of a weighted mean is its spread by the effective number, delta method.
    """
    truth = dist.Normal(LOC + 0.5 * SCALE, 0.8 * SCALE).to_event(1)
    family = family_of(diagonal())
    z = family.sample(20_000, SEEDS)
    weights = (truth.log_prob(z) - family.log_prob(z)).softmax(0)
    fit = family.fitted(z, weights, 0.0)

    def score(values, found, truth):
        return (found - truth) / (weights.square().unsqueeze(-1) * values.square()).sum(0).sqrt()

    u = (z - LOC) / SCALE
    assert score(u - 0.5, fit.loc, 0.5).abs().max() < 4.5
    variance = (2 * fit.log_scale).exp()
    assert score((u - fit.loc).square() - 0.64, variance, 0.64).abs().max() < 4.5


@pytest.mark.parametrize("make", POSTERIORS)
def test_fit_to_a_single_draw_stays_a_distribution(make):
    """Weights on one draw alone have no spread; what the guide counts for must give them one."""
    family = family_of(make())
    z = family.sample(3, SEEDS)
    weights = torch.tensor([0.0, 1.0, 0.0]).double()[:, None].expand(3, 3)
    for strength in (0.1, 5.0):
        assert family.fitted(z, weights, strength).log_prob(z).isfinite().all()
    assert (family.fitted(z, weights, 0.1).log_prob(z) > family.log_prob(z))[1].all()


@pytest.mark.parametrize("make", POSTERIORS)
def test_free_parameters_begin_at_the_member_and_move_it(make):
    family = family_of(make()).widened(1.2)
    leaves, member = family.variational()
    z = make().sample((20,))
    torch.testing.assert_close(member(leaves).log_prob(z), family.log_prob(z), **ROUNDING)
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    for draws in (member(leaves).sample(4, SEEDS), member(leaves).sample(4, SEEDS, paired=True)):
        grads = torch.autograd.grad(draws.pow(3).sum(), leaves)
        assert all((grad.abs().sum(0) > 0).any() for grad in grads)
    with torch.no_grad():
        assert not member(leaves).sample(4, SEEDS).requires_grad


def test_steps_of_a_spherical_member_are_in_units_of_its_spread():
    family = family_of(spherical())
    (step, log_scale), member = family.variational()
    wider = member([step, log_scale + math.log(1.15)])
    torch.testing.assert_close(wider.concentration, family.widened(1.15).concentration)
    moved = member([step + torch.tensor([1.0, 0.0, 0.0, 0.0]).double(), log_scale])
    torch.testing.assert_close(moved.loc.norm(dim=-1), torch.ones(3).double())
    # At a concentration of 300 a spread of 1 / sqrt(300) is small enough for sine and arc to agree.
    across = 1 - family.loc[2, 0] ** 2
    distance = (moved.loc[2] - family.loc[2]).norm() * math.sqrt(300)
    torch.testing.assert_close(distance, across.sqrt(), rtol=0.1, atol=0)
    assert member([step, log_scale - 50]).concentration.max() <= 1.000001e6


@pytest.mark.parametrize("strength", [0.0, 5.0, 1e12])
def test_spherical_fit_has_the_mean_of_a_mixture_of_draws_and_member(strength):
    family = family_of(spherical())
    z = spherical(1.5).sample((40,))
    weights = torch.randn(40, 3, generator=torch.Generator().manual_seed(3)).double().softmax(0)
    share = 1 / (1 + strength * weights.square().sum(0)).unsqueeze(-1)
    mean = share * torch.einsum("kn,knd->nd", weights, z) + (1 - share) * spherical().mean
    fit = family.fitted(z, weights, strength)
    torch.testing.assert_close(PowerSpherical(fit.loc, fit.concentration).mean, mean, **ROUNDING)
    if strength == 1e12:
        torch.testing.assert_close(fit.log_prob(z), family.log_prob(z), rtol=0, atol=1e-6)


def test_spherical_draws_have_the_mean_of_the_member():
    family = family_of(spherical()).widened(1.2)
    z = family.sample(20_000, SEEDS)
    assert z_score(z, spherical(1.2).mean).abs().max() < 4.5
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(20_000, 3).double())


@pytest.mark.parametrize(
    "posterior",
    [
        dist.Normal(LOC.float(), SCALE.float()).to_event(1),
        dist.MultivariateNormal(LOC.float(), scale_tril=TRIL.float()),
        PowerSpherical(spherical().loc.float(), spherical().concentration.float()),
    ],
)
def test_precision_of_the_posterior_is_kept(posterior):
    family = family_of(posterior)
    z = family.sample(6, SEEDS)
    weights = torch.full((6, 3), 1 / 6).double()
    for one in (family, family.widened(1.2), family.fitted(z, weights, 5.0)):
        assert one.sample(2, SEEDS).dtype == one.log_prob(z).dtype == torch.float32


@pytest.mark.parametrize(
    "posterior",
    [
        dist.Normal(LOC, SCALE),
        dist.Laplace(LOC, SCALE).to_event(1),
        dist.LogNormal(LOC, SCALE).to_event(1),
        dist.ProjectedNormal(LOC),
        dist.VonMises(LOC, SCALE),
    ],
)
def test_other_posteriors_are_of_no_family(posterior):
    assert GaussianFamily.of(posterior) is None
    assert SphericalFamily.of(posterior) is None
