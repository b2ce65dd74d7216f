# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.evaluation.families import GaussianFamily, GaussianMixtureFamily
from pyro_textvae.evaluation.families.family import effective_number

COUNT = 3


@pytest.fixture
def base():
    """Gaussians of full covariance, one a sentence, moved and scaled away from the guide's."""
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "dtype": torch.float64}
    scale_tril = torch.randn(COUNT, 2, 2, **options).tril(-1) + torch.eye(2).double()
    family = GaussianFamily.of(
        dist.MultivariateNormal(torch.randn(COUNT, 2, **options), scale_tril=scale_tril)
    )
    leaves, member = family.variational()
    return member([leaf + 0.3 * torch.randn(leaf.shape, **options) for leaf in leaves])


@pytest.fixture
def mixture(base):
    generator = torch.Generator().manual_seed(1)
    options = {"generator": generator, "dtype": torch.float64}
    scale_tril = 0.3 * torch.randn(COUNT, 2, 2, 2, **options).tril(-1) + 0.5 * torch.eye(2).double()
    log_weights = torch.tensor([0.3, 0.7]).double().log().expand(COUNT, 2)
    loc = 2 * torch.randn(COUNT, 2, 2, **options)
    return GaussianMixtureFamily(base, log_weights, loc, scale_tril)


def test_density_integrates_to_one(mixture):
    """The midpoint rule on a grid of 0.05, well below every scale."""
    axis = torch.arange(-14, 14, 0.05, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    total = mixture.log_prob(grid.unsqueeze(1).expand(-1, COUNT, -1)).exp().sum(0) * 0.05**2
    torch.testing.assert_close(total, torch.ones(COUNT).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("full", [False, True])
def test_another_component_has_its_share_of_the_density(mixture, full):
    scale = torch.tensor([[0.4, 1.5], [2.0, 0.3], [0.8, 0.9]]).double()
    scale_tril = scale.diag_embed() + torch.tensor([[0.0, 0.0], [0.6, 0.0]]).double()
    fn = dist.MultivariateNormal(scale.flip(0), scale_tril=scale_tril)
    fn = fn if full else dist.Normal(scale.flip(0), scale).to_event(1)
    with_another = mixture.with_component(GaussianFamily.of(fn), 0.2)
    z = mixture.widened(2.0).sample(50, [5, 6, 7])
    expected = 0.8 * mixture.log_prob(z).exp() + 0.2 * fn.log_prob(z).exp()
    torch.testing.assert_close(with_another.log_prob(z).exp(), expected)


@pytest.mark.parametrize("quasi_random", [False, True])
def test_draws_have_the_density_that_they_are_given(mixture, quasi_random):
    """E 1/q(z) over a box is its area, for draws from q that are in it: z-scores of the mean."""
    draws = mixture.sample(4096, [5, 6, 7], quasi_random=quasi_random)
    centre = mixture.base.from_own_units(mixture.loc.permute(1, 0, 2))[0]
    inside = ((draws - centre).abs() < 0.4).all(-1)
    values = inside / mixture.log_prob(draws).exp()
    scores = (values.mean(0) - 0.8**2) / (values.std(0) / 4096**0.5)
    assert scores.abs().max() < 4.5
    assert (inside.double().mean(0) > 0.01).all()


def test_draws_of_a_sentence_are_its_own(mixture):
    whole = mixture.sample(9, [5, 6, 7])
    chosen = torch.tensor([2, 0])
    torch.testing.assert_close(mixture.rows(chosen).sample(9, [7, 5]), whole[:, chosen])


def test_fit_finds_both_modes_and_their_shares(base, mixture):
    draws = mixture.sample(4000, [1, 2, 3])
    fit = GaussianMixtureFamily.fit(base, draws, torch.zeros(4000, COUNT).double(), 2)
    gain = (mixture.log_prob(draws) - fit.log_prob(draws)).mean(0)
    assert gain.abs().max() < 0.06
    one = GaussianMixtureFamily.fit(base, draws, torch.zeros(4000, COUNT).double(), 1)
    assert (mixture.log_prob(draws) - one.log_prob(draws)).mean(0).max() > 0.1


def test_fit_goes_by_the_weights(base, mixture):
    """Draws from the base, weighted to be of the mixture."""
    draws = base.widened(3.0).sample(20_000, [1, 2, 3])
    log_weights = mixture.log_prob(draws) - base.widened(3.0).log_prob(draws)
    fit = GaussianMixtureFamily.fit(base, draws, log_weights, 2)
    test = mixture.sample(4000, [4, 5, 6])
    assert (mixture.log_prob(test) - fit.log_prob(test)).mean(0).max() < 0.05


def test_few_heavy_draws_are_tempered_so_that_the_fit_stays_wide(base):
    """One draw has all the weight: without tempering the fit would be around it alone."""
    draws = base.widened(4.0).sample(64, [1, 2, 3])
    log_weights = torch.linspace(0, 200, 64, dtype=torch.float64).unsqueeze(1).expand(64, COUNT)
    assert effective_number(log_weights.softmax(0)).max() < 1.1
    fit = GaussianMixtureFamily.fit(base, draws, log_weights, 1)
    inside = base.in_own_units(fit.sample(500, [1, 2, 3])).std(0)
    assert inside.min() > 1.5
    assert fit.log_prob(draws).isfinite().all()


@pytest.mark.parametrize("value", [-torch.inf, torch.nan])
def test_draws_without_a_weight_leave_a_fit(base, value):
    draws = base.sample(16, [1, 2, 3])
    fit = GaussianMixtureFamily.fit(base, draws, torch.full((16, COUNT), value).double(), 3)
    assert fit.log_prob(draws).isfinite().all()


def test_base_that_is_a_point_leaves_a_fit_of_the_others():
    """Of one sentence the base has no width in float32; the draws are the prior's."""
    scale = torch.tensor([[0.5, 0.5], [1e-30, 0.5]])
    base = GaussianFamily.of(dist.Normal(torch.ones(2, 2), scale).to_event(1))
    z = torch.randn(16, 2, 2, generator=torch.Generator().manual_seed(0))
    fit = GaussianMixtureFamily.fit(base, z, torch.zeros(16, 2), 3)
    assert fit.scale_tril.isfinite().all()
    assert fit.loc.isfinite().all()


def test_widened_scales_every_component(mixture):
    wide = mixture.widened(2.0)
    noise = mixture.sample(3, [1, 2, 3])
    assert (wide.log_prob(noise) != mixture.log_prob(noise)).all()
    torch.testing.assert_close(wide.loc, mixture.loc)
    torch.testing.assert_close(wide.scale_tril, 2 * mixture.scale_tril)


def test_mixture_is_not_refined_by_gradients(mixture):
    with pytest.raises(NotImplementedError, match="refine its base instead"):
        mixture.variational()
    assert GaussianMixtureFamily.of(dist.Normal(0.0, 1.0)) is None
