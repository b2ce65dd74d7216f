# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Laplace, kl_divergence


def gaussians(kind, dtype=torch.float64, size=4):
    """Of batch shape (3,), and a diagonal one of another mean and scale."""
    torch.manual_seed(2)
    loc = torch.randn(3, size, dtype=dtype)
    if kind == "full":
        factor = torch.randn(3, size, size, dtype=dtype).tril(-1)
        diagonal = torch.rand(3, size, dtype=dtype) + 0.3
        p = dist.MultivariateNormal(loc, scale_tril=factor + torch.diag_embed(diagonal))
    else:
        factor = torch.randn(3, size, 2, dtype=dtype)
        p = dist.LowRankMultivariateNormal(loc, factor, torch.rand(3, size, dtype=dtype) + 0.1)
    q = dist.Normal(torch.randn(size, dtype=dtype), torch.rand(size, dtype=dtype) + 0.5)
    return p, q.to_event(1)


@pytest.mark.parametrize("kind", ["full", "low_rank"])
def test_closed_form_is_that_of_two_full_covariances(kind):
    """PyTorch's own, of two Gaussians with covariances."""
    p, q = gaussians(kind)
    dense = torch.distributions.MultivariateNormal(p.loc, p.covariance_matrix)
    other = torch.distributions.MultivariateNormal(
        q.base_dist.loc, torch.diag_embed(q.base_dist.scale.square())
    )
    expected = kl_divergence(dense, other)
    torch.testing.assert_close(kl_divergence(p, q), expected, rtol=1e-12, atol=1e-12)
    wide = kl_divergence(p.expand((2, 3)), q.expand((2, 3)))
    torch.testing.assert_close(wide, expected.expand(2, 3), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["full", "low_rank"])
def test_close_to_the_prior_nothing_cancels_in_float32(kind):
    """At a KL of 1e-8 nats; entropies of 45 nats have errors of 4e-6 there."""
    tiny = 1e-4
    loc = torch.full((32,), tiny / 32**0.5)
    if kind == "full":
        p = dist.MultivariateNormal(loc, scale_tril=torch.eye(32))
    else:
        p = dist.LowRankMultivariateNormal(loc, torch.zeros(32, 2), torch.ones(32))
    q = dist.Normal(torch.zeros(32), torch.ones(32)).to_event(1)
    assert kl_divergence(p, q).item() == pytest.approx(0.5 * tiny**2, rel=1e-5)


@pytest.mark.parametrize("kind", ["full", "low_rank"])
def test_other_products_have_no_closed_form(kind):
    p, _ = gaussians(kind)
    with pytest.raises(NotImplementedError):
        kl_divergence(p, dist.Independent(Laplace(torch.zeros(4), torch.ones(4)), 1))
    assert math.isfinite(p.entropy().sum())
