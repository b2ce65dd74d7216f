# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Gradients are the same where Pyro records which draws a tensor comes from."""

import pyro
import pytest
import torch
from pyro.ops.provenance import detach_provenance, get_provenance, track_provenance

from pyro_textvae.distributions import VonMisesFisher
from pyro_textvae.nn.vocabulary_loss import vocabulary_loss

OF_Y = frozenset({"y"})


def by_vocabulary(hidden):
    weight = torch.linspace(-1, 1, 21).double().reshape(7, 3)
    return vocabulary_loss(hidden, weight, weight[:, 0], torch.tensor([0, 3, 6, 2]))


def sphere(hidden):
    return VonMisesFisher(torch.nn.functional.normalize(hidden, dim=-1), hidden.square().sum(-1))


CASES = {
    "vocabulary": by_vocabulary,
    "density": lambda hidden: sphere(hidden).log_prob(torch.eye(3).double()[0]),
    "entropy": lambda hidden: sphere(hidden).entropy(),
    "draws": lambda hidden: sphere(hidden).rsample((2,)),
}


@pytest.mark.parametrize("function", CASES.values(), ids=CASES)
def test_gradient_is_that_of_plain_tensors(function):
    gradients = []
    for origin in (frozenset(), OF_Y):
        hidden = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
        hidden.requires_grad_()
        pyro.set_rng_seed(1)
        value = function(track_provenance(hidden, origin))
        assert get_provenance(value) == origin
        # Any operation: it is there that the graph was lost.
        total = detach_provenance((2 * value).sum())
        gradients.append(torch.autograd.grad(total, hidden)[0])
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0.01
