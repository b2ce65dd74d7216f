# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import copy
import math
import pickle

import numpy
import pyro
import pytest
import torch
from pyro.infer import TraceMeanField_ELBO
from torch.distributions import Beta, kl_divergence

from pyro_textvae.distributions import HypersphericalUniform, PowerSpherical
from pyro_textvae.distributions.sphere import log_surface_area, unit_vector
from pyro_textvae.infer import BetaELBO
from tests.distributions.directions import across, generic_direction, power_spherical

CELLS = [(2, 1.3), (2, 40.0), (3, 1.0), (3, 1e4), (16, 5.0), (16, 300.0), (128, 60.0)]


def log_integral(p, log_f):
    """log of the integral of exp(log_f(z)), by Gauss-Legendre quadrature over the angle to loc.

    The sphere at an angle is itself one, of one dimension less: its area is the weight.
    """
    dim = p.loc.shape[-1]
    nodes, weights = (torch.from_numpy(a) for a in numpy.polynomial.legendre.leggauss(400))
    # Beyond 12 standard deviations of the angle there is nothing.
    widest = min(math.pi, 12 * math.sqrt(2 * dim / p.concentration.item()))
    angle = 0.5 * widest * (nodes + 1)
    z = angle.cos()[:, None] * p.loc + angle.sin()[:, None] * across(p.loc)
    log_weight = (0.5 * widest * weights).log() + (dim - 2) * angle.sin().log()
    # The sphere in one dimension is two points, of which log_surface_area gives log 2.
    return (log_f(unit_vector(z)) + log_weight).logsumexp(0) + log_surface_area(dim - 1)


@pytest.mark.parametrize(("dim", "concentration"), CELLS)
def test_density_integrates_to_one(dim, concentration):
    p = power_spherical(dim, concentration)
    assert log_integral(p, p.log_prob).abs() < 1e-9


def test_density_integrates_to_one_over_a_grid_of_the_whole_sphere():
    """The same without the symmetry around ``loc``: a grid of longitude and latitude."""
    p = power_spherical(3, 7.0)
    longitude = (torch.arange(60).double() + 0.5) * 2 * math.pi / 60
    latitude = (torch.arange(2000).double() + 0.5) * math.pi / 2000
    height, around = torch.meshgrid(latitude, longitude, indexing="ij")
    z = torch.stack(
        [height.sin() * around.cos(), height.sin() * around.sin(), height.cos()], dim=-1
    )
    cell = (math.pi / 2000) * (2 * math.pi / 60)
    total = (p.log_prob(z).exp() * height.sin()).sum() * cell
    # The midpoint rule over the latitude: error of order step^2 = 2.5e-6.
    assert total.item() == pytest.approx(1.0, abs=1e-5)


def test_density_integrates_to_one_by_importance_sampling():
    p = power_spherical(16, 6.0)
    z = torch.randn(200_000, 16).double()
    ratio = (p.log_prob(z / z.norm(dim=-1, keepdim=True)) + log_surface_area(16)).exp()
    score = (ratio.mean() - 1.0) * len(ratio) ** 0.5 / ratio.std()
    assert abs(score) < 4.5
    # The check has teeth: an error of 2 % in the normaliser would be seen.
    assert 4.5 * ratio.std() / len(ratio) ** 0.5 < 0.02


@pytest.mark.parametrize(("dim", "concentration"), CELLS)
def test_entropy_is_the_mean_of_minus_the_log_density(dim, concentration):
    """By quadrature; positive terms, so the sum of p (-log p + c) is taken in logarithms."""
    p = power_spherical(dim, concentration)
    highest = p.log_prob(p.loc)

    def log_integrand(z):
        log_prob = p.log_prob(z)
        return log_prob + (highest - log_prob).clamp(min=1e-300).log()

    entropy = log_integral(p, log_integrand).exp() - highest
    torch.testing.assert_close(p.entropy(), entropy, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("dim", "concentration"), [*CELLS, (2, 1e-3), (64, 0.1), (512, 1e6)])
def test_divergence_from_the_uniform(dim, concentration):
    """(1 + cosine) / 2 is a beta variable under both, and all else is alike under both."""
    p = power_spherical(dim, concentration)
    half = torch.tensor((dim - 1) / 2).double()
    truth = kl_divergence(Beta(half + p.concentration, half), Beta(half, half))
    found = kl_divergence(p, HypersphericalUniform(dim))
    # Differences of gamma functions of the size of ten thousand at most, in float64.
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-12 * dim)
    torch.testing.assert_close(p.entropy(), log_surface_area(dim) - truth, rtol=1e-9, atol=1e-9)
    assert found > 0


def test_divergence_in_three_dimensions_has_a_simple_form():
    """There the cosine is uniform, so (1 + cosine) / 2 is Beta(1 + k, 1): log(1 + k) - k/(1+k)."""
    k = torch.tensor([0.5, 3.0, 1e3], dtype=torch.float64, requires_grad=True)
    found = kl_divergence(PowerSpherical(generic_direction(3), k), HypersphericalUniform(3))
    torch.testing.assert_close(found, (1 + k).log() - k / (1 + k), rtol=1e-12, atol=1e-12)
    (slope,) = torch.autograd.grad(found.sum(), k)
    torch.testing.assert_close(slope, k / (1 + k) ** 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("concentration", [1.0, 100.0, 1e4, 1e6])
@pytest.mark.parametrize("dim", [2, 8, 64])
def test_float32_density_has_float32_accuracy(dim, concentration):
    """Against float64 at the same rounded points.

    Its two terms are of the sizes dim (concentration times a squared distance) and log area, and
    each is known to a few eps. The product of the two vectors in the place of the distance would
    be off by concentration times eps.
    """
    p = power_spherical(dim, concentration, torch.float32)
    z = p.sample((2000,))
    loc, double = unit_vector(p.loc.double()), unit_vector(z.double())
    exact = PowerSpherical(loc, p.concentration.double()).log_prob(double)
    eps = torch.finfo(torch.float32).eps
    size = 1.0 + dim + abs(log_surface_area(dim)) + exact.abs()
    assert ((p.log_prob(z).double() - exact).abs() < 4 * eps * size).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_density_at_the_mean_direction_and_opposite(dtype):
    p = power_spherical(5, 20.0, dtype)
    z = torch.stack([p.loc, -p.loc]).requires_grad_()
    log_prob = p.log_prob(z)
    assert log_prob.isfinite().all()
    assert log_prob[0] > 0 > -100 > log_prob[1]
    (gradient,) = torch.autograd.grad(log_prob.sum(), z)
    assert gradient.isfinite().all()


def test_density_close_to_the_opposite_direction():
    """There 1 + cosine is a small difference of large numbers: it must keep its digits."""
    p = power_spherical(4, 2.5)
    angle = torch.tensor([1e-3, 1e-5, 1e-7]).double()
    z = unit_vector(-angle.cos()[:, None] * p.loc + angle.sin()[:, None] * across(p.loc))
    truth = 2.5 * (2 * (angle / 2).sin().square() / 2).log()
    found = p.log_prob(z) - p.log_prob(p.loc)
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-7)


def test_gradient_of_the_density():
    loc = generic_direction(4)
    z = power_spherical(4, 3.0).sample((3,)).requires_grad_()
    k = torch.tensor([0.3, 4.0, 60.0], dtype=torch.float64, requires_grad=True)

    def log_prob(z, k):
        return PowerSpherical(loc, k, validate_args=False).log_prob(z)

    assert torch.autograd.gradcheck(log_prob, (z, k))


def test_expanding_and_plates_keep_the_class():
    p = power_spherical(4, 2.0).expand([3]).expand([2, 3])
    assert isinstance(p, PowerSpherical)
    assert (p.batch_shape, p.event_shape) == ((2, 3), (4,))
    assert p.rsample((5,)).shape == (5, 2, 3, 4)
    assert p.log_prob(p.sample((5,))).shape == (5, 2, 3)
    assert p.entropy().shape == (2, 3)
    assert p.mean.shape == (2, 3, 4)
    assert kl_divergence(p, HypersphericalUniform(4)).shape == (2, 3)
    with pyro.poutine.trace() as recorded, pyro.plate("data", 3):
        pyro.sample("z", power_spherical(4, 2.0))
    assert type(recorded.trace.nodes["z"]["fn"]) is PowerSpherical


def test_parameters_broadcast():
    loc = torch.stack([generic_direction(3), -generic_direction(3)])
    k = torch.tensor([[1.0], [20.0], [300.0]]).double()
    p = PowerSpherical(loc, k)
    assert p.batch_shape == (3, 2)
    z = p.sample((4,))
    single = PowerSpherical(loc[1], k[2, 0])
    torch.testing.assert_close(p.log_prob(z)[:, 2, 1], single.log_prob(z[:, 2, 1]))
    assert p.log_prob(loc[:, None, None]).shape == (2, 3, 2)


def test_pickling_and_copying():
    p = power_spherical(3, 5.0).expand([2])
    z = p.sample()
    for kept in (pickle.loads(pickle.dumps(p)), copy.deepcopy(p)):
        assert torch.equal(kept.log_prob(z), p.log_prob(z))


def model(tokens):
    with pyro.plate("data", len(tokens)):
        pyro.sample("z", HypersphericalUniform(4, dtype=torch.float64))
        pyro.sample("x", pyro.distributions.Categorical(torch.ones(2).double()), obs=tokens)


def guide(tokens):
    with pyro.plate("data", len(tokens)):
        pyro.sample("z", power_spherical(4, 9.0))


@pytest.mark.parametrize("objective", [TraceMeanField_ELBO, BetaELBO])
def test_objectives_take_the_divergence_in_closed_form(objective):
    """A draw of the log-ratio has a standard deviation of about a nat; this has none."""
    tokens = torch.tensor([0, 1, 1])
    truth = 3 * (kl_divergence(power_spherical(4, 9.0), HypersphericalUniform(4)) + math.log(2))
    for _ in range(3):
        loss = objective().loss(model, guide, tokens)
        assert loss == pytest.approx(truth.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("loc", "concentration", "message"),
    [
        ([0.6, 0.9], 1.0, r"loc must have unit norm, got norm 1\.0816"),
        ([0.0, 0.0], 1.0, "loc must have unit norm, got norm 0"),
        ([math.nan, 0.0], 1.0, "loc must have unit norm, got norm nan"),
        ([0.6, 0.8], 0.0, "concentration must be positive and finite, got 0.0"),
        ([0.6, 0.8], -2.0, "concentration must be positive and finite, got -2.0"),
        ([0.6, 0.8], math.inf, "concentration must be positive and finite, got inf"),
        ([0.6, 0.8], math.nan, "concentration must be positive and finite, got nan"),
        ([1.0], 1.0, r"loc must have shape \(\.\.\., d\) with d >= 2, got \(1,\)"),
        (1.0, 1.0, r"with d >= 2, got \(\)"),
        ([[0.6, 0.8]] * 3, [1.0, 1.0], r"must have the shape \(3,\) of loc without its last"),
    ],
)
def test_bad_parameters_are_refused(loc, concentration, message):
    with pytest.raises(ValueError, match=message):
        PowerSpherical(torch.tensor(loc), torch.tensor(concentration))


def test_values_off_the_sphere_are_refused():
    with pytest.raises(ValueError, match="Sphere"):
        power_spherical(2, 1.0).log_prob(torch.tensor([0.6, 0.9]).double())
    loose = PowerSpherical(torch.tensor([0.6, 0.9]), torch.tensor(1.0), validate_args=False)
    assert loose.log_prob(torch.tensor([0.6, 0.9])).isfinite()
