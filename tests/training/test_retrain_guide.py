# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A guide trained on alone: the bound rises, and nothing else moves."""

import copy

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.training.retrain_guide import retrain_guide


def test_bound_rises_by_the_guide_alone(pair, tokens):
    model, guide = pair
    before = copy.deepcopy((model.state_dict(), guide.state_dict()))
    batches = lambda: [{"tokens": tokens}]  # noqa: E731
    start, end = retrain_guide(model, guide, batches, batches, epochs=10, learning_rate=0.02)
    assert end > start + 0.1
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[0][name])
    assert not torch.equal(guide.loc.bias, before[1]["loc.bias"])
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_bound_that_falls_keeps_the_guide(pair, tokens):
    """Steps far too long: the weights of before are the best."""
    model, guide = pair
    before = copy.deepcopy(guide.state_dict())
    batches = lambda: [{"tokens": tokens}]  # noqa: E731
    start, end = retrain_guide(model, guide, batches, batches, epochs=2, learning_rate=50.0)
    assert end == start
    for name, value in guide.state_dict().items():
        assert torch.equal(value, before[name])


def test_nothing_to_train(pair, tokens):
    with pytest.raises(UserError, match="EmptyGuide has nothing of its own"):
        retrain_guide(pair[0], EmptyGuide(), list, list)
