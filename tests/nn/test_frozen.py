# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from pyro_textvae.nn.frozen import frozen


def test_no_gradient_is_recorded_inside_and_all_is_as_it_was_after():
    layer = nn.Linear(2, 3)
    layer.bias.requires_grad_(False)
    inputs = torch.ones(1, 2, requires_grad=True)
    with frozen(layer.parameters()):
        outputs = layer(inputs)
    outputs.sum().backward()
    assert inputs.grad is not None
    assert layer.weight.grad is None
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


def test_an_error_inside_leaves_them_as_they_were():
    layer = nn.Linear(2, 3)
    with pytest.raises(RuntimeError), frozen(layer.parameters()):
        raise RuntimeError
    assert layer.weight.requires_grad
