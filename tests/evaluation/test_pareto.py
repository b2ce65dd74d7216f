# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from pyro_textvae.evaluation.importance.pareto import pareto_khat, tail_size


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.8])
def test_shape_of_exact_pareto_draws_is_found(shape):
    """Mean over 10 sets of 100,000 draws within 0.04: measured 0.02, the prior's pull included."""
    size = 100_000
    uniform = torch.rand(size, 10, dtype=torch.float64)
    log_weights = -shape * uniform.log()  # a Pareto variable u^-k has tail index k
    khat = pareto_khat(log_weights.topk(tail_size(size) + 1, 0).values)
    assert khat.shape == (10,)
    assert abs(khat.mean().item() - shape) < 0.04
    assert ((khat - shape).abs() < 0.13).all()


def test_constant_weights_are_a_perfect_proposal():
    assert pareto_khat(torch.full((31, 2), -5.0)).tolist() == [-math.inf, -math.inf]


def test_level_of_the_log_weights_does_not_matter():
    log_weights = torch.randn(61, 3, dtype=torch.float64)
    torch.testing.assert_close(
        pareto_khat(log_weights - 1e4), pareto_khat(log_weights), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(("count", "expected"), [(100, 20), (1000, 95), (10_000, 300)])
def test_tail_size(count, expected):
    assert tail_size(count) == expected
