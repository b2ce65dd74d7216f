# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math
import pickle

import pyro
import pytest
import torch
from torch.distributions import kl_divergence

from pyro_textvae.distributions import HypersphericalUniform, PowerSpherical
from pyro_textvae.priors import UniformSphere

SIZE = 200_000


@pytest.mark.parametrize("dim", [2, 3, 16])
def test_moments_of_the_draws(dim):
    """E[z] = 0, E[z_i z_j] = [i = j] / d, E[z_i^4] = 3 / (d (d + 2)), in 4.5 standard errors."""
    z = HypersphericalUniform(dim, dtype=torch.float64).sample((SIZE,))
    ones = torch.ones(SIZE, dtype=torch.float64)
    torch.testing.assert_close(z.norm(dim=-1), ones, rtol=0, atol=1e-15)

    def scores(values, truth):
        return (values.mean(0) - truth) * SIZE**0.5 / values.std(0)

    assert scores(z, 0.0).abs().max() < 4.5
    fourth = 3 / (dim * (dim + 2))
    assert scores(z.pow(4), fourth).abs().max() < 4.5
    first, second = z[:, 0], z[:, 1]
    assert scores(first * second, 0.0).abs() < 4.5
    assert scores(first.square(), 1 / dim).abs() < 4.5


@pytest.mark.parametrize(("dim", "area"), [(2, 2 * math.pi), (3, 4 * math.pi)])
def test_density_is_one_over_the_area(dim, area):
    uniform = HypersphericalUniform(dim, dtype=torch.float64)
    expected = torch.full((5, 2), -math.log(area), dtype=torch.float64)
    z = uniform.sample((5, 2))
    torch.testing.assert_close(uniform.log_prob(z), expected, rtol=0, atol=1e-15)
    torch.testing.assert_close(uniform.entropy(), -expected[0, 0], rtol=0, atol=1e-15)
    assert torch.equal(uniform.mean, torch.zeros(dim, dtype=torch.float64))


def test_expanding_and_plates_keep_the_class():
    expanded = HypersphericalUniform(4).expand([3]).expand([2, 3])
    assert isinstance(expanded, HypersphericalUniform)
    assert (expanded.batch_shape, expanded.event_shape) == ((2, 3), (4,))
    assert expanded.sample((5,)).shape == (5, 2, 3, 4)
    assert expanded.log_prob(expanded.sample()).shape == (2, 3)
    assert expanded.entropy().shape == (2, 3)
    assert expanded.mean.shape == (2, 3, 4)
    with pyro.poutine.trace() as recorded, pyro.plate("data", 3):
        pyro.sample("z", HypersphericalUniform(4))
    site = recorded.trace.nodes["z"]
    assert type(site["fn"]) is HypersphericalUniform
    assert site["value"].shape == (3, 4)


def test_values_broadcast_on_the_left():
    uniform = HypersphericalUniform(3).expand([2])
    z = HypersphericalUniform(3, dtype=torch.float64).sample((7, 1))
    assert uniform.log_prob(z).shape == (7, 2)
    assert uniform.log_prob(z).dtype == torch.float64


def test_pickling():
    kept = pickle.loads(pickle.dumps(HypersphericalUniform(3, dtype=torch.float64).expand([2])))
    assert kept.sample().dtype == torch.float64
    assert kept.batch_shape == (2,)


def test_prior_follows_its_module():
    prior = UniformSphere(5)
    assert prior().sample((2,)).dtype == torch.float32
    assert prior.double()().sample((2,)).dtype == torch.float64
    assert prior().event_shape == (5,)
    assert not prior.state_dict()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HypersphericalUniform(1), "dim must be at least 2, got 1"),
        (lambda: UniformSphere(1), "latent_dim must be at least 2, got 1"),
        (lambda: HypersphericalUniform(2).log_prob(torch.tensor([0.6, 0.9])), "Sphere"),
        (
            lambda: kl_divergence(
                PowerSpherical(torch.tensor([0.0, 1.0]), torch.tensor(2.0)),
                HypersphericalUniform(3),
            ),
            "spheres of 2 and 3 dimensions",
        ),
    ],
)
def test_bad_calls_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
