# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from torch import nn

from pyro_textvae.nn.positions import sinusoidal_positions
from pyro_textvae.nn.transformer_block import TransformerBlock


def make(hidden_dim=8, num_heads=2, dropout=0.0):
    block = TransformerBlock(hidden_dim, num_heads, dropout).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(0.0, 0.5)
    return block


def torch_layer(block):
    """The same layer in PyTorch's words, with the block's own weights."""
    hidden_dim = block.attention_norm.normalized_shape[0]
    layer = nn.TransformerEncoderLayer(
        hidden_dim,
        block.num_heads,
        4 * hidden_dim,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    ).double()
    pairs = (
        (layer.norm1, block.attention_norm),
        (layer.self_attn.out_proj, block.attention_output),
        (layer.norm2, block.feed_forward_norm),
        (layer.linear1, block.feed_forward[0]),
        (layer.linear2, block.feed_forward[2]),
    )
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(block.attention_input.weight)
        layer.self_attn.in_proj_bias.zero_()
    return layer


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("is_causal", [False, True])
def test_is_the_layer_that_torch_has(is_causal):
    block, hidden = make(), draw(3, 5, 8)
    seen = torch.ones(5, 5, dtype=torch.bool).tril() if is_causal else None
    theirs = torch_layer(block)(hidden, src_mask=None if seen is None else ~seen)
    for options in ({"is_causal": is_causal}, {"mask": seen}):
        ours, _ = block(hidden, **options)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", [(), (2,), (4, 2)])
def test_any_rows_on_the_left(rows):
    block, hidden = make(), draw(*rows, 5, 8)
    ours, (keys, values) = block(hidden)
    alone = torch.stack([block(row)[0] for row in hidden.reshape(-1, 5, 8)]).reshape(hidden.shape)
    torch.testing.assert_close(ours, alone, rtol=1e-12, atol=1e-12)
    assert keys.shape == values.shape == (*rows, 2, 5, 4)


def test_places_after_a_past_are_those_of_the_whole():
    block, hidden = make(), draw(3, 7, 8)
    seen = torch.ones(7, 7, dtype=torch.bool).tril()
    whole, (keys, values) = block(hidden, mask=seen)
    first, past = block(hidden[:, :4], is_causal=True)
    second, after = block(hidden[:, 4:], past, mask=seen[4:])
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after, (keys, values), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("few", "many"), [((3,), (4, 3)), ((), (3,)), ((1, 3), (4, 1))])
def test_a_past_of_more_rows_is_met_by_the_same_places(few, many):
    block, hidden = make(), draw(*few, 5, 8)
    past = (draw(*many, 2, 6, 4), draw(*many, 2, 6, 4))
    seen_by = []
    block.attention_input.register_forward_hook(lambda _, given, out: seen_by.append(given[0]))
    ours, _ = block(hidden, past)
    assert seen_by[0].shape == (*few, 5, 8)
    rows = torch.broadcast_shapes(few, many)
    copied = tuple(part.expand(*rows, 2, 6, 4) for part in past)
    theirs, _ = block(hidden.expand(*rows, 5, 8), copied)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_dropout_acts_on_both_parts_and_in_training_only():
    block, hidden = make(dropout=0.5), draw(2, 5, 8)
    assert not torch.equal(block(hidden)[0], block(hidden)[0])
    for silenced in ("attention_output", "feed_forward.2"):
        other = make(dropout=0.5)
        with torch.no_grad():
            for parameter in other.get_submodule(silenced).parameters():
                parameter.zero_()
        assert not torch.equal(other(hidden)[0], other(hidden)[0])
    assert torch.equal(block.eval()(hidden)[0], block(hidden)[0])


def test_bad_numbers_are_refused_by_name():
    wrong = "hidden_dim must be divisible by num_heads, got hidden_dim=6 and num_heads=4"
    with pytest.raises(ValueError, match=wrong):
        TransformerBlock(6, 4, 0.0)
    with pytest.raises(ValueError, match="num_heads must be at least 1, got 0"):
        TransformerBlock(6, 0, 0.0)
    with pytest.raises(ValueError, match=r"layer_dropout must lie in \[0, 1\), got 1.0"):
        TransformerBlock(6, 2, 1.0)


@pytest.mark.parametrize("dim", [1, 6, 7])
def test_positions_are_the_published_waves(dim):
    places = sinusoidal_positions(3, 4, dim, dtype=torch.float64, device=torch.device("cpu"))
    assert places.shape == (4, dim)
    for row, entry in ((0, 0), (0, dim - 1), (3, dim // 2), (3, dim - 1)):
        angle = (3 + row) / 10_000 ** (entry // 2 * 2 / dim)
        wave = math.cos(angle) if entry % 2 else math.sin(angle)
        assert places[row, entry].item() == pytest.approx(wave, abs=1e-13)


def test_far_positions_differ_in_half_precision():
    places = sinusoidal_positions(1000, 2, 8, dtype=torch.bfloat16, device=torch.device("cpu"))
    assert places.dtype == torch.bfloat16
    assert not torch.equal(places[0], places[1])
