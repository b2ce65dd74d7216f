# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import copy
import io
import math
import pickle

import numpy
import pyro
import pytest
import torch
from pyro.infer import TraceMeanField_ELBO
from torch.distributions import kl_divergence

from pyro_textvae.distributions import HypersphericalUniform, VonMisesFisher
from pyro_textvae.distributions import von_mises_fisher_functions as functions
from pyro_textvae.distributions.sphere import lies_on_sphere, log_surface_area, unit_vector
from pyro_textvae.infer import BetaELBO
from tests.distributions.directions import across, generic_direction
from tests.distributions.von_mises_fisher_cases import reference, von_mises_fisher

CELLS = [(2, 0.0), (2, 1.3), (2, 40.0), (3, 1.0), (3, 1e4), (16, 5.0), (16, 300.0), (128, 60.0)]


def log_integral(p, log_f):
    """log of the integral of exp(log_f(z)), by Gauss-Legendre quadrature over the angle to loc.

    The sphere at an angle is itself one, of one dimension less: its area is the weight.
    """
    dim = p.loc.shape[-1]
    nodes, weights = (torch.from_numpy(a) for a in numpy.polynomial.legendre.leggauss(400))
    # Beyond 12 standard deviations of the angle there is nothing.
    widest = min(math.pi, 12 * math.sqrt(dim / max(p.concentration.item(), 1e-9)))
    angle = 0.5 * widest * (nodes + 1)
    z = angle.cos()[:, None] * p.loc + angle.sin()[:, None] * across(p.loc)
    log_weight = (0.5 * widest * weights).log() + (dim - 2) * angle.sin().log()
    # The sphere in one dimension is two points, of which log_surface_area gives log 2.
    return (log_f(unit_vector(z)) + log_weight).logsumexp(0) + log_surface_area(dim - 1)


@pytest.mark.parametrize(("dim", "concentration"), CELLS)
def test_density_integrates_to_one(dim, concentration):
    p = von_mises_fisher(dim, concentration)
    assert log_integral(p, p.log_prob).abs() < 1e-10


def test_density_integrates_to_one_over_a_grid_of_the_whole_sphere():
    """The same without the symmetry around ``loc``: a grid of longitude and latitude."""
    p = von_mises_fisher(3, 7.0)
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


@pytest.mark.parametrize(("dim", "concentration"), CELLS)
def test_entropy_is_the_mean_of_minus_the_log_density(dim, concentration):
    """By quadrature; positive terms, so the sum of p (-log p + c) is taken in logarithms."""
    p = von_mises_fisher(dim, concentration)
    highest = p.log_prob(p.loc)

    def log_integrand(z):
        log_prob = p.log_prob(z)
        return log_prob + (highest - log_prob).clamp(min=1e-300).log()

    entropy = log_integral(p, log_integrand).exp() - highest
    torch.testing.assert_close(p.entropy(), entropy, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dim", [2, 5, 32, 512, 1024])
def test_float32_has_the_digits_of_float32(dim):
    """Computed in float64 within, and rounded once: against the functions at the rounded value.

    The reference digits are those of the functions, which have a test of their own.
    """
    k = reference("values")[dim]["concentration"].float()
    rounded = k.double().requires_grad_()
    divergence = functions.divergence_from_uniform(rounded, dim)
    (slope,) = torch.autograd.grad(divergence.sum(), rounded)
    k.requires_grad_()
    p = VonMisesFisher(unit_vector(generic_direction(dim).float()), k)
    found = kl_divergence(p, HypersphericalUniform(dim))
    assert found.dtype == p.entropy().dtype == p.mean.dtype == torch.float32
    (found_slope,) = torch.autograd.grad(found.sum(), k)
    one_rounding = {"rtol": 6.0e-8, "atol": 0.0}
    torch.testing.assert_close(found.double(), divergence, **one_rounding)
    torch.testing.assert_close(found_slope.double(), slope, **one_rounding)
    entropy = log_surface_area(dim) - divergence
    torch.testing.assert_close(p.entropy().double(), entropy, rtol=6.0e-8, atol=6.0e-8)
    length = functions.mean_length(rounded, dim).unsqueeze(-1) * p.loc.double()
    torch.testing.assert_close(p.mean.double(), length, rtol=2e-7, atol=0.0)


@pytest.mark.parametrize("concentration", [0.0, 1.0, 100.0, 1e4, 1e6])
@pytest.mark.parametrize("dim", [2, 3, 8, 64, 512])
def test_float32_density_has_float32_accuracy(dim, concentration):
    """Against float64 at the same rounded points.

    The concentration times a squared distance is of the size of dim, and known to a few eps; the
    product of the two vectors in the place of the distance would be off by concentration times eps.
    """
    p = von_mises_fisher(dim, concentration, torch.float32)
    z = p.sample((2000,))
    loc, double = unit_vector(p.loc.double()), unit_vector(z.double())
    exact = VonMisesFisher(loc, p.concentration.double()).log_prob(double)
    eps = torch.finfo(torch.float32).eps
    distance = (loc - double).square().sum(-1) / 2
    # Two unit vectors of float32 at a small distance: that is known to eps / sqrt of itself.
    size = 1.0 + dim + abs(log_surface_area(dim)) + exact.abs()
    size = size + concentration * distance.sqrt()
    assert ((p.log_prob(z).double() - exact).abs() < 4 * eps * size).all()


def test_density_ratios_follow_the_definition():
    p = von_mises_fisher(4, 2.5)
    z = HypersphericalUniform(4, dtype=torch.float64).sample((20,))
    expected = 2.5 * (z @ p.loc - z[0] @ p.loc)
    torch.testing.assert_close(p.log_prob(z) - p.log_prob(z[0]), expected, rtol=1e-13, atol=1e-14)
    both = p.log_prob(torch.stack([p.loc, -p.loc]))
    assert (both[0] - both[1]).item() == pytest.approx(5.0, rel=1e-14)


def test_concentration_zero_is_the_uniform_distribution():
    p, q = von_mises_fisher(6, 0.0), HypersphericalUniform(6, dtype=torch.float64)
    z = q.sample((10,))
    torch.testing.assert_close(p.log_prob(z), q.log_prob(z), rtol=1e-15, atol=0)
    torch.testing.assert_close(p.entropy(), q.entropy(), rtol=1e-15, atol=0)
    torch.testing.assert_close(
        p.variance, torch.full((6,), 1 / 6, dtype=torch.float64), rtol=1e-14, atol=0
    )
    assert kl_divergence(p, q) == 0.0
    assert p.mean.abs().max() == 0.0


def test_gradient_of_the_density():
    loc = generic_direction(4)
    z = von_mises_fisher(4, 3.0).sample((4,)).requires_grad_()
    k = torch.tensor([0.1, 0.3, 4.0, 60.0], dtype=torch.float64, requires_grad=True)

    def log_prob(z, k):
        return VonMisesFisher(loc, k, validate_args=False).log_prob(z)

    assert torch.autograd.gradcheck(log_prob, (z, k))
    assert torch.autograd.gradgradcheck(log_prob, (z, k))


@pytest.mark.parametrize(
    ("own", "other"), [(5.0, 5.0), (5.0, 6.0), (0.0, 7.0), (300.0, 2.0), (40.0, 0.0)]
)
def test_divergence_between_two_is_the_mean_log_ratio(own, other):
    """E_p[log p - log q], linear in z: by the mean of z, which has tests of its own."""
    q_loc = unit_vector(generic_direction(5) + 0.7 * across(generic_direction(5)))
    p = von_mises_fisher(5, own)
    q = VonMisesFisher(q_loc, torch.tensor(other).double())
    constant = p.log_prob(p.loc) - own - (q.log_prob(q.loc) - other)
    expected = constant + own * (p.mean @ p.loc) - other * (p.mean @ q.loc)
    torch.testing.assert_close(kl_divergence(p, q), expected, rtol=1e-12, atol=1e-12)
    assert kl_divergence(p, q) > 0


def test_divergence_of_neighbours_keeps_its_digits():
    """Half of (step in k)^2 A', plus half k A times the angle squared; third order is 1e-7."""
    side = across(generic_direction(5))
    p = von_mises_fisher(5, 50.0)
    q_loc = unit_vector(generic_direction(5) + 1e-7 * side)
    q = VonMisesFisher(q_loc, torch.tensor(50.0 * (1 + 1e-7)).double())
    k = p.concentration
    step = q.concentration - k
    expected = 0.5 * step.square() * functions.cosine_variance(k, 5)
    expected = expected + 0.5e-14 * k * functions.mean_length(k, 5)
    torch.testing.assert_close(kl_divergence(p, q), expected, rtol=1e-6, atol=0)
    assert kl_divergence(p, p) == 0.0


def test_gradient_of_the_divergence_between_two():
    p_loc, q_loc = generic_direction(4), across(generic_direction(4))
    own = torch.tensor([0.5, 20.0, 90.0, 40.0], dtype=torch.float64, requires_grad=True)
    other = torch.tensor([0.6, 70.0, 5.0, 41.0], dtype=torch.float64, requires_grad=True)

    def divergence(own, other):
        return kl_divergence(VonMisesFisher(p_loc, own), VonMisesFisher(q_loc, other))

    assert torch.autograd.gradcheck(divergence, (own, other))
    at_uniform = torch.zeros((), dtype=torch.float64, requires_grad=True)
    slopes = torch.autograd.grad(divergence(at_uniform, at_uniform), at_uniform)
    assert slopes[0] == 0.0


def test_expanding_and_plates_keep_the_class():
    p = von_mises_fisher(4, 2.0).expand([3]).expand([2, 3])
    assert isinstance(p, VonMisesFisher)
    assert (p.batch_shape, p.event_shape) == ((2, 3), (4,))
    assert p.rsample((5,)).shape == (5, 2, 3, 4)
    assert p.log_prob(p.sample((5,))).shape == (5, 2, 3)
    assert p.entropy().shape == (2, 3)
    assert p.mean.shape == p.mode.shape == p.variance.shape == (2, 3, 4)
    assert kl_divergence(p, HypersphericalUniform(4)).shape == (2, 3)
    assert kl_divergence(p, von_mises_fisher(4, 1.0)).shape == (2, 3)
    assert kl_divergence(von_mises_fisher(4, 1.0), p).shape == (2, 3)
    assert lies_on_sphere(p)
    with pyro.poutine.trace() as recorded, pyro.plate("data", 3):
        pyro.sample("z", von_mises_fisher(4, 2.0))
    assert type(recorded.trace.nodes["z"]["fn"]) is VonMisesFisher


def test_expanded_rows_share_their_special_functions():
    """A thousand particles of a sentence have one concentration."""
    k = torch.rand(3, requires_grad=True)
    p = VonMisesFisher(generic_direction(4).float(), k).expand([1000, 3])
    shapes = []

    def double(concentration, dim):
        shapes.append(concentration.shape)
        return 2 * concentration

    values = p._of_concentration(double)
    assert shapes == [(1, 3)]
    torch.testing.assert_close(values, (2 * k.double()).expand(1000, 3))
    (slope,) = torch.autograd.grad(values.sum(), k)
    assert torch.equal(slope, torch.full((3,), 2000.0))


def test_parameters_broadcast():
    loc = torch.stack([generic_direction(3), -generic_direction(3)])
    k = torch.tensor([[1.0], [20.0], [300.0]]).double()
    p = VonMisesFisher(loc, k)
    assert p.batch_shape == (3, 2)
    z = p.sample((4,))
    single = VonMisesFisher(loc[1], k[2, 0])
    torch.testing.assert_close(p.log_prob(z)[:, 2, 1], single.log_prob(z[:, 2, 1]))
    torch.testing.assert_close(p.entropy()[2, 1], single.entropy())
    torch.testing.assert_close(p.variance[2, 1], single.variance)
    assert p.log_prob(loc[:, None, None]).shape == (2, 3, 2)
    assert VonMisesFisher(loc[0], k).rsample().shape == (3, 1, 3)
    empty = VonMisesFisher(loc[:0], k[0])
    assert empty.rsample((2,)).shape == (2, 0, 3)
    assert empty.entropy().shape == (0,)


def test_pickling_and_copying():
    p = von_mises_fisher(3, 5.0).expand([2])
    z = p.sample()
    file = io.BytesIO()
    torch.save(p, file)
    file.seek(0)
    saved = torch.load(file, weights_only=False)
    for kept in (saved, pickle.loads(pickle.dumps(p)), copy.deepcopy(p)):
        assert torch.equal(kept.log_prob(z), p.log_prob(z))
        assert kept.rsample().shape == (2, 3)


def uniform_prior():
    return HypersphericalUniform(4, dtype=torch.float64)


def other_prior():
    return VonMisesFisher(across(generic_direction(4)), torch.tensor(2.0).double())


@pytest.mark.parametrize("prior", [uniform_prior, other_prior])
@pytest.mark.parametrize("particles", [1, 7])
@pytest.mark.parametrize("objective", [TraceMeanField_ELBO, BetaELBO])
def test_objectives_take_the_divergence_in_closed_form(objective, particles, prior):
    """A draw of the log-ratio has a standard deviation of about a nat; this has none."""

    def model(tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", prior())
            pyro.sample("x", pyro.distributions.Categorical(torch.ones(2).double()), obs=tokens)

    def guide(tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", von_mises_fisher(4, 9.0))

    tokens = torch.tensor([0, 1, 1])
    truth = 3 * (kl_divergence(von_mises_fisher(4, 9.0), prior()) + math.log(2))
    options = {"num_particles": particles}
    if objective is TraceMeanField_ELBO:
        options |= {"vectorize_particles": True, "max_plate_nesting": 1}
    for _ in range(3):
        loss = objective(**options).loss(model, guide, tokens)
        assert loss == pytest.approx(truth.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("loc", "concentration", "message"),
    [
        ([0.6, 0.9], 1.0, r"loc must have unit norm, got norm 1\.0816\d*: divide it by its norm"),
        ([0.0, 0.0], 1.0, "loc must have unit norm, got norm 0"),
        ([math.nan, 0.0], 1.0, "loc must have unit norm, got norm nan"),
        ([0.6, 0.8], -2.0, "concentration must be finite and not negative, got -2.0"),
        ([0.6, 0.8], math.inf, "concentration must be finite and not negative, got inf"),
        ([0.6, 0.8], math.nan, "concentration must be finite and not negative, got nan"),
        ([1.0], 1.0, r"loc must have shape \(\.\.\., d\) with d >= 2, got \(1,\)"),
        (1.0, 1.0, r"with d >= 2, got \(\)"),
        ([[0.6, 0.8]] * 3, [1.0, 1.0], r"must have the shape \(3,\) of loc without its last"),
    ],
)
def test_bad_parameters_are_refused(loc, concentration, message):
    with pytest.raises(ValueError, match=message):
        VonMisesFisher(torch.tensor(loc), torch.tensor(concentration))


def test_spheres_of_different_dimensions_have_no_divergence():
    for other in (HypersphericalUniform(3), von_mises_fisher(3, 1.0)):
        with pytest.raises(ValueError, match="KL between spheres of 2 and 3 dimensions"):
            kl_divergence(von_mises_fisher(2, 1.0), other)


def test_values_off_the_sphere_are_refused():
    with pytest.raises(ValueError, match="Sphere"):
        von_mises_fisher(2, 1.0).log_prob(torch.tensor([0.6, 0.9]).double())
    loose = VonMisesFisher(torch.tensor([0.6, 0.9]), torch.tensor(1.0), validate_args=False)
    assert loose.log_prob(torch.tensor([0.6, 0.9])).isfinite()
