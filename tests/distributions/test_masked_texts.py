# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts that are not there are not scored, whatever the others are conditioned on."""

import pytest
import torch
from pyro.distributions import MaskedDistribution

from pyro_textvae.distributions import Context
from pyro_textvae.distributions.autoregressive_categorical import AutoregressiveCategorical

from .memory_decoder import MemoryDecoder, make_memory

THERE = torch.tensor([[True, False, True], [True, True, False]])
ROWS = torch.tensor([[[4, 2], [2, 0], [5, 4]], [[2, 0], [5, 2], [2, 0]]])
ROWS = torch.cat([ROWS, torch.tensor([[[0], [0], [2]], [[0], [0], [0]]])], -1)


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return MemoryDecoder(6, 2, 3).double().eval()


def memory_of(shape):
    torch.manual_seed(1)
    return make_memory(*shape)


@pytest.mark.parametrize("value", ["of all draws", "of each draw"])
@pytest.mark.parametrize("shape", [(2, 3), (2, 1), (1, 3), (3,), (4, 2, 3)])
def test_memory_goes_with_its_row(decoder, shape, value):
    """Of a source for each sentence, each document, each place, each draw; four draws of z."""
    z = torch.randn(4, 2, 3, 2, dtype=torch.float64)
    text = AutoregressiveCategorical(decoder, Context(z, memory_of(shape)), 3)
    rows = ROWS if value == "of all draws" else ROWS.expand(4, 2, 3, 3).contiguous()
    expected = MaskedDistribution(text, THERE).log_prob(rows)
    torch.testing.assert_close(text.mask(THERE).log_prob(rows), expected, rtol=1e-12, atol=0)
    assert ((expected != 0) == THERE).all()
    # What is of all draws is not copied for each.
    count = 4 * 4 if len(shape) == 3 else 4
    places = THERE.nonzero(as_tuple=True)
    assert text.context.memory.at(places).distinct().batch_shape.numel() == count


def test_mask_of_each_draw_and_wider_plates(decoder):
    """As Pyro's plates expand it; a mask of each draw of its own is one of more places."""
    z = torch.randn(4, 2, 3, 2, dtype=torch.float64)
    text = AutoregressiveCategorical(decoder, Context(z, memory_of((2, 3))), 3)
    by_draw = torch.rand(4, 2, 3) < 0.5
    for mask in (by_draw, THERE[:, :1], torch.tensor(True)):
        expected = MaskedDistribution(text, mask).expand((5, 4, 2, 3)).log_prob(ROWS)
        found = text.mask(mask).expand((5, 4, 2, 3)).log_prob(ROWS)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_row_that_cannot_be_scored_is_named_where_it_stands(decoder):
    text = AutoregressiveCategorical(
        decoder, Context(torch.zeros(2, 3, 2).double(), memory_of((2, 3))), 3, validate_args=True
    )
    rows = ROWS.clone()
    rows[1, 1, 0] = 1
    with pytest.raises(ValueError, match=r"row \(1, 1\) of tokens has <pad> or <bos> before"):
        text.mask(THERE).log_prob(rows)
    with pytest.raises(ValueError, match="value has 4 positions but max_length is 3"):
        text.mask(THERE).log_prob(torch.zeros(2, 3, 4, dtype=torch.long))
