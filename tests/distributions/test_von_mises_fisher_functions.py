# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyro_textvae.distributions import von_mises_fisher_functions as functions
from pyro_textvae.distributions.sphere import log_surface_area
from pyro_textvae.distributions.von_mises_fisher_draws import angle_slope
from tests.distributions.von_mises_fisher_cases import reference

VALUES = reference("values")
PAIRS = reference("pairs")


def assert_close(found, truth, relative, least=0.0):
    """To a share of the true value, or of ``least`` where that is larger."""
    error = (found - truth).abs()
    assert (error <= relative * truth.abs().clamp(min=least)).all()


def columns(dim):
    return VALUES[dim]["concentration"].clone().requires_grad_(), VALUES[dim]


@pytest.mark.parametrize("dim", VALUES)
def test_values_have_the_digits_of_float64(dim):
    """What is left of 16 digits: a variance of 1e-12 is 1 - A^2 - ... with an error of 1e-16."""
    k, truth = columns(dim)
    assert_close(functions.cumulant(k, dim), truth["cumulant"], 5e-15)
    assert_close(functions.scaled_cumulant(k, dim), truth["scaled_cumulant"], 5e-15)
    assert_close(functions.mean_length(k, dim), truth["mean_length"], 5e-15)
    assert_close(functions.mean_distance(k, dim), truth["mean_distance"], 1e-13)
    assert_close(functions.cosine_variance(k, dim), truth["cosine_variance"], 1e-11)
    divergence = functions.divergence_from_uniform(k, dim)
    assert_close(divergence, truth["divergence"], 5e-14)
    area = log_surface_area(dim)
    assert_close(-area - functions.cumulant(k, dim), truth["log_normaliser"], 5e-14, least=1.0)
    assert_close(area - divergence, truth["entropy"], 5e-14, least=1.0)


@pytest.mark.parametrize("dim", VALUES)
def test_first_derivatives_are_as_exact_as_values(dim):
    k, truth = columns(dim)

    def slope(function):
        return torch.autograd.grad(function(k, dim).sum(), k)[0]

    assert_close(slope(functions.cumulant), truth["mean_length"], 5e-15)
    assert_close(slope(functions.scaled_cumulant), -truth["mean_distance"], 1e-13)
    assert_close(slope(functions.mean_length), truth["cosine_variance"], 1e-11)
    assert_close(slope(functions.mean_distance), -truth["cosine_variance"], 1e-11)
    assert_close(slope(functions.cosine_variance), truth["third_cumulant"], 1e-10)
    expected = k.detach() * truth["cosine_variance"]
    assert_close(slope(functions.divergence_from_uniform), expected, 1e-11)


@pytest.mark.parametrize("dim", VALUES)
def test_second_derivatives(dim):
    k, truth = columns(dim)

    def curvature(function):
        (slope,) = torch.autograd.grad(function(k, dim).sum(), k, create_graph=True)
        return torch.autograd.grad(slope.sum(), k)[0]

    variance = truth["cosine_variance"]
    assert_close(curvature(functions.cumulant), variance, 1e-11)
    assert_close(curvature(functions.scaled_cumulant), variance, 1e-11)
    assert_close(curvature(functions.mean_length), truth["third_cumulant"], 1e-10)
    # A' + k A'', of opposite signs, and for large concentrations of nearly equal size.
    error = curvature(functions.divergence_from_uniform) - variance
    error -= k.detach() * truth["third_cumulant"]
    assert (error.abs() <= 1e-10 * variance).all()


@pytest.mark.parametrize("dim", [2, 5, 33, 512])
@pytest.mark.parametrize(
    "function",
    [functions.cumulant, functions.mean_length, functions.divergence_from_uniform],
)
def test_derivatives_by_finite_differences(function, dim):
    k = torch.tensor([1e-3, 0.3, 4.0, 29.0, 31.0, 200.0]).double().requires_grad_()
    assert gradcheck(lambda k: function(k, dim), k)
    assert gradgradcheck(lambda k: function(k, dim), k, fast_mode=True)


@pytest.mark.parametrize("dim", [2, 33])
def test_derivatives_of_a_pair_by_finite_differences(dim):
    own = torch.tensor([1e-3, 0.3, 4.0, 29.0, 31.0, 200.0]).double().requires_grad_()
    other = torch.tensor([2e-3, 0.31, 90.0, 31.0, 2.0, 201.0]).double().requires_grad_()

    def value(own, other):
        return functions.divergence_of_concentrations(own, other, dim)

    assert gradcheck(value, (own, other))
    assert gradgradcheck(value, (own, other), fast_mode=True)


@pytest.mark.parametrize("dim", PAIRS)
def test_functions_of_a_pair(dim):
    """The derivatives of the divergence are -A'(own) (other - own) and A(other) - A(own).

    Close concentrations are integrals over A', and have its digits.
    """
    own, other = (PAIRS[dim][name].clone().requires_grad_() for name in ("own", "other"))
    found = functions.divergence_of_concentrations(own, other, dim)
    assert_close(found, PAIRS[dim]["divergence"], 1e-11)
    by_own, by_other = torch.autograd.grad(found.sum(), [own, other])
    assert_close(by_other, PAIRS[dim]["mean_length_difference"], 1e-11)
    assert_close(by_own, (own - other) * functions.cosine_variance(own, dim), 1e-15)
    difference = functions.mean_length_difference(own, other, dim)
    assert_close(difference, PAIRS[dim]["mean_length_difference"], 1e-11)
    first, second = torch.autograd.grad(difference.sum(), [own, other])
    assert_close(first, -functions.cosine_variance(own, dim), 1e-15)
    assert_close(second, functions.cosine_variance(other, dim), 1e-15)


@pytest.mark.parametrize("dim", [2, 3, 32, 4096])
def test_uniform_is_no_special_case(dim):
    k = torch.zeros((), dtype=torch.float64, requires_grad=True)
    divergence = functions.divergence_from_uniform(k, dim)
    (slope,) = torch.autograd.grad(divergence, k, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, k)
    assert divergence == slope == functions.cumulant(k, dim) == functions.mean_length(k, dim) == 0
    assert functions.cosine_variance(k, dim).item() == pytest.approx(1 / dim, rel=1e-15)
    assert curvature.item() == pytest.approx(1 / dim, rel=1e-15)
    other = torch.tensor([0.0, 3.0], dtype=torch.float64, requires_grad=True)
    between = functions.divergence_of_concentrations(k, other, dim)
    assert_close(between, functions.cumulant(other, dim), 1e-15)
    by_own, by_other = torch.autograd.grad(between.sum(), [k, other])
    assert by_own.item() == pytest.approx(-3 / dim, rel=1e-15)
    assert_close(by_other, functions.mean_length(other, dim), 1e-15)


@pytest.mark.parametrize("dim", [2, 3, 17, 18, 32, 200, 1024, 16384])
def test_expansions_meet(dim):
    """At 30, where one takes over from the other between two neighbouring numbers."""
    start = torch.tensor(30.0).double()
    k = torch.stack([start, start.nextafter(start + 1)])

    def jump(function):
        low, high = function(k, dim)
        return abs(high / low - 1)

    assert jump(functions.cumulant) < 3e-15
    assert jump(functions.mean_length) < 3e-15
    assert jump(functions.mean_distance) < 1e-13
    assert jump(functions.divergence_from_uniform) < 5e-14
    assert jump(functions.cosine_variance) < 1e-11


@pytest.mark.parametrize("dim", [2, 3, 4, 7, 32, 100, 1024])
def test_mean_length_lies_between_its_bounds(dim):
    """Amos (1974), Computation of modified Bessel functions and their ratios, inequalities 11."""
    k = torch.logspace(-3, 6, 200, dtype=torch.float64)
    v = dim / 2 - 1
    lower = k / (v + 0.5 + (k.square() + (v + 1.5) ** 2).sqrt())
    upper = k / (v + (k.square() + (v + 2) ** 2).sqrt())
    found = functions.mean_length(k, dim)
    rounding = 1e-14 * found
    assert (lower <= found + rounding).all()
    assert (found <= upper + rounding).all()


def test_three_dimensions_have_simple_forms():
    """F = log(sinh k / k), A = coth k - 1/k: the cosine is uniform under the uniform."""
    k = torch.tensor([0.5, 3.0, 12.0, 29.0, 31.0, 300.0]).double()
    scaled = -(-2 * k).expm1() / (2 * k)
    assert_close(functions.scaled_cumulant(k, 3), scaled.log(), 1e-15)
    assert_close(functions.mean_length(k, 3), 1 / k.tanh() - 1 / k, 1e-14)
    assert_close(functions.cosine_variance(k, 3), k**-2 - k.sinh() ** -2, 1e-12)


@pytest.mark.parametrize("dim", [2, 9, 64])
def test_variance_belongs_to_the_mean(dim):
    """Riccati's equation A' = 1 - A^2 - (d - 1) A / k, where its terms do not cancel."""
    k = torch.tensor([0.5, 5.0, 29.0, 40.0]).double()
    length = functions.mean_length(k, dim)
    expected = 1 - length.square() - (dim - 1) * length / k
    torch.testing.assert_close(
        functions.cosine_variance(k, dim), expected, rtol=0, atol=64 * 2.3e-16
    )


def test_huge_dimensions_and_concentrations_are_finite():
    k = torch.tensor([1e-12, 1.0, 30.0, 31.0, 1e4, 1e10]).double().requires_grad_()
    for dim in (2, 16384, 10**6):
        divergence = functions.divergence_from_uniform(k, dim)
        (slope,) = torch.autograd.grad(divergence.sum(), k)
        assert divergence.isfinite().all()
        assert slope.isfinite().all()
        assert (divergence.diff() > 0).all()
        assert (slope > 0).all()


def test_nothing_is_fetched_from_the_device():
    """On the device without values, every look at one is an error."""
    k = torch.empty(5, dtype=torch.float64, device="meta", requires_grad=True)
    for function in (functions.cumulant, functions.mean_length, functions.divergence_from_uniform):
        (slope,) = torch.autograd.grad(function(k, 7).sum(), k, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), k)
        assert curvature.device.type == "meta"
    between = functions.divergence_of_concentrations(k, k, 7)
    assert angle_slope(k.detach(), k.detach(), 7).device.type == between.device.type == "meta"


def test_functional_transforms():
    """Mapped gradients are those of the whole."""
    k = torch.tensor([0.0, 2.0, 50.0]).double()
    found = torch.func.vmap(torch.func.grad(lambda k: functions.divergence_from_uniform(k, 7)))(k)
    torch.testing.assert_close(found, k * functions.cosine_variance(k, 7), rtol=1e-14, atol=0)
