# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import torch

from pyro_textvae.nn import LatentAttention


def test_slots_are_read_by_a_product_without_an_offset():
    torch.manual_seed(0)
    attention = LatentAttention(state_dim=4, latent_dim=3, num_slots=2)
    assert set(dict(attention.named_parameters())) == {
        *("slots.weight", "slots.bias"),
        "query.weight",
    }
    hidden, z = torch.randn(5, 4), torch.randn(3)
    slots = attention.slots(z).reshape(2, 4)
    shares = torch.softmax(hidden @ attention.query.weight.T @ slots.T / 2.0, -1)
    torch.testing.assert_close(attention(hidden, z), hidden + shares @ slots)
