# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import torch

from pyro_textvae.generation.completion.thinning import thin


def test_nothing_is_thinned_where_few_are_possible():
    log_weights = torch.tensor([0.5, -torch.inf, 1.0]).double()
    kept, weights = thin(log_weights, 2)
    assert kept.tolist() == [0, 2]
    assert torch.equal(weights, log_weights[kept])


def test_every_weight_is_right_in_expectation():
    """500 draws of 6 out of 20, 4.5 standard errors."""
    log_weights = 1.5 * torch.randn(20, generator=torch.Generator().manual_seed(3)).double() + 40
    total = torch.zeros(500, 20).double()
    for row in total:
        kept, weights = thin(log_weights, 6)
        assert 5 <= len(kept) <= 7
        assert len(kept.unique()) == len(kept)
        row[kept] = (weights - 40).exp()
    truth = (log_weights - 40).exp()
    error = total.std(0) / 500**0.5
    assert ((total.mean(0) - truth).abs() <= 4.5 * error + 1e-9).all()


def test_the_heavy_stay_as_they_are():
    log_weights = torch.tensor([5.0, *[0.0] * 50, 6.0]).double()
    for _ in range(20):
        kept, weights = thin(log_weights, 10)
        heavy = (kept == 0) | (kept == 51)
        assert weights[heavy].tolist() == [5.0, 6.0]
        assert (weights[~heavy] > 1.0).all()
