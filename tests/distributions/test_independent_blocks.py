# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import copy

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Laplace, kl_divergence

from pyro_textvae.distributions import HypersphericalUniform, PowerSpherical
from pyro_textvae.distributions.independent_blocks import IndependentBlocks


def normal(size, loc=0.0, scale=1.0):
    return dist.Normal(torch.full((size,), loc), torch.full((size,), scale)).to_event(1)


def spherical(concentration):
    loc = torch.tensor([0.6, 0.8, 0.0])
    return PowerSpherical(loc, torch.as_tensor(concentration))


def test_density_entropy_and_mean_are_those_of_the_blocks():
    blocks = [spherical(2.0), normal(2, 0.5, 0.3)]
    joined = IndependentBlocks(blocks)
    z = joined.rsample((7,))
    assert z.shape == (7, 5)
    expected = blocks[0].log_prob(z[:, :3]) + blocks[1].log_prob(z[:, 3:])
    torch.testing.assert_close(joined.log_prob(z), expected)
    torch.testing.assert_close(joined.entropy(), blocks[0].entropy() + blocks[1].entropy())
    torch.testing.assert_close(joined.mean, torch.cat([blocks[0].mean, blocks[1].mean]))


def test_kl_is_the_sum_over_blocks_and_survives_expansion():
    p = IndependentBlocks([spherical([2.0, 3.0]), normal(2, 0.5, 0.3)])
    q = IndependentBlocks([HypersphericalUniform(3), normal(2)])
    parts = [kl_divergence(one, other) for one, other in zip(p.blocks, q.blocks, strict=True)]
    torch.testing.assert_close(kl_divergence(p, q), parts[0] + parts[1])
    wide = p.expand((4, 2))
    assert type(wide) is IndependentBlocks
    torch.testing.assert_close(kl_divergence(wide, q), (parts[0] + parts[1]).expand(4, 2))


def test_kl_without_a_closed_form_is_not_made_up():
    whole, cut = IndependentBlocks([normal(3)]), IndependentBlocks([normal(1), normal(2)])
    with pytest.raises(NotImplementedError):
        kl_divergence(whole, cut)
    heavy = dist.Independent(Laplace(torch.zeros(3), torch.ones(3)), 1)
    skewed = dist.Independent(dist.Gumbel(torch.zeros(3), torch.ones(3)), 1)
    with pytest.raises(NotImplementedError):
        kl_divergence(IndependentBlocks([heavy]), IndependentBlocks([skewed]))


def test_support_is_checked_block_by_block():
    joined = IndependentBlocks([HypersphericalUniform(3), normal(2)])
    assert joined.support.check(joined.sample((5,))).all()
    off = torch.tensor([[1.0, 1.0, 0.0, 0.2, 0.3], [0.6, 0.8, 0.0, 0.2, float("nan")]])
    assert not joined.support.check(off).any()
    with pytest.raises(ValueError, match="within the support"):
        joined.log_prob(off)
    assert repr(joined.support) == "Blocks(Sphere of 3, Real of 2)"


def test_draws_have_gradients_where_all_blocks_have():
    loc = torch.zeros(2, requires_grad=True)
    smooth = IndependentBlocks([spherical(2.0), dist.Normal(loc, 1.0).to_event(1)])
    assert smooth.has_rsample
    smooth.rsample((3,))[:, 3:].sum().backward()
    torch.testing.assert_close(loc.grad, torch.full((2,), 3.0))
    assert not smooth.sample().requires_grad
    discrete = dist.Independent(dist.Bernoulli(torch.full((2,), 0.5)), 1)
    assert not IndependentBlocks([spherical(2.0), discrete]).has_rsample


def test_a_copy_scores_alike():
    joined = IndependentBlocks([spherical(2.0), normal(2)])
    z = joined.sample()
    torch.testing.assert_close(copy.deepcopy(joined).log_prob(z), joined.log_prob(z))


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "blocks must have at least one distribution, got none"),
        ([dist.Normal(0.0, 1.0)], r"got Normal with event shape \(\): add to_event\(1\)"),
    ],
)
def test_what_is_no_vector_is_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        IndependentBlocks(blocks)
