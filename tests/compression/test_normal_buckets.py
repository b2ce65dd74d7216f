# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Intervals of equal mass under the prior, against high-precision values of the same."""

import mpmath
import pytest
import torch

from pyro_textvae.compression.normal_buckets import NormalBuckets

LOC, SCALE = torch.tensor([[0.5, -2.0]]).double(), torch.tensor([[2.0, 0.25]]).double()


@pytest.mark.parametrize("bits", [1, 4, 10])
def test_masses(bits):
    buckets = NormalBuckets(LOC, SCALE, bits)
    prior = buckets.probabilities(LOC, SCALE)
    torch.testing.assert_close(prior, torch.full_like(prior, 2.0**-bits), rtol=1e-12, atol=0)
    masses = buckets.probabilities(LOC + 1, SCALE / 7)
    torch.testing.assert_close(masses.sum(-1), torch.ones_like(LOC), rtol=1e-12, atol=0)


@pytest.mark.parametrize("loc", [4.5, -3.5])
def test_tails_against_high_precision(loc):
    """A posterior far in a tail of the prior: the mass of an interval far from it, to 1e-9."""
    buckets = NormalBuckets(LOC, SCALE, 3)
    scale = 0.5
    masses = buckets.probabilities(torch.full_like(LOC, loc), torch.full_like(LOC, scale))[0, 0]
    with mpmath.workdps(50):
        edges = [-mpmath.inf]
        for place in range(1, 8):
            root = mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(place) / 8 - 1)
            edges.append((0.5 + 2.0 * root - loc) / scale)
        edges.append(mpmath.inf)
        exact = [mpmath.ncdf(b) - mpmath.ncdf(a) for a, b in zip(edges, edges[1:], strict=False)]
    for mass, wanted in zip(masses.tolist(), exact, strict=True):
        assert mass == pytest.approx(float(wanted), rel=1e-9, abs=0)


def test_values_lie_in_their_intervals():
    buckets = NormalBuckets(LOC, SCALE, 5)
    indices = torch.arange(32).unsqueeze(-1).expand(32, 2)
    values = (buckets.values(indices) - LOC) / SCALE
    places = torch.special.ndtr(values) * 32
    assert torch.equal(places.floor().long(), indices)
    torch.testing.assert_close(places - places.floor(), torch.full_like(places, 0.5))


def test_bits_for_the_narrowest_posterior():
    """The interval at the mode is sqrt(2 pi) 2^-b scales of the prior wide."""
    buckets = NormalBuckets(LOC, SCALE, 1)
    for share in (1.0, 0.1, 0.003):
        bits = buckets.bits_for(SCALE * torch.tensor([[1.0, share]]))
        width = (2 * torch.pi) ** 0.5 * 2.0**-bits
        assert width <= share / 2 < 2 * width
