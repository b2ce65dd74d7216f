# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is special to the Transformer; what all decoders keep is in test_decoders.py."""

import pytest
import torch

from pyro_textvae.distributions import Context
from pyro_textvae.nn.decoders import TransformerDecoder
from pyro_textvae.nn.injection import INJECTIONS
from pyro_textvae.nn.positions import sinusoidal_positions
from tests.nn.test_transformer_block import torch_layer

EACH_WAY = pytest.mark.parametrize(
    "injection", ["attention", "initial_state", ("attention", "initial_state"), INJECTIONS]
)


def make(**options):
    sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8, "latent_dim": 3}
    decoder = TransformerDecoder(**(sizes | {"max_length": 8, "num_heads": 2} | options)).double()
    # At their usual start z and the words before hardly matter; here they must be seen to.
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0.0, 0.5)
    return decoder.eval()


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def tensors(state):
    return [state] if isinstance(state, torch.Tensor) else [t for s in state for t in tensors(s)]


def pick(state, rows):
    if isinstance(state, torch.Tensor):
        return state[rows]
    return tuple(pick(part, rows) for part in state)


def placed(decoder, inputs, z=None):
    """The first layer's input, from its parts."""
    waves = sinusoidal_positions(
        0, inputs.shape[-2], decoder.hidden_dim, dtype=inputs.dtype, device=inputs.device
    )
    return decoder.input(2.0 * inputs, z) + waves


@EACH_WAY
def test_no_place_sees_a_later_input(injection):
    decoder, inputs, z = make(injection=injection), draw(2, 7, 4), draw(2, 3)
    hidden = decoder.unroll(inputs, Context(z))
    for place in range(7):
        changed = inputs.clone()
        changed[:, place] += 1.0
        moved = (decoder.unroll(changed, Context(z)) - hidden).abs().amax((0, 2))
        assert (moved[:place] == 0).all()
        assert (moved[place:] > 1e-9).all()


def test_prefix_is_a_place_before_the_words():
    """Against PyTorch's own layers over prefix and words, each place seeing those before."""
    decoder, inputs, z = make(injection="initial_state", num_layers=3), draw(2, 7, 4), draw(2, 3)
    hidden = torch.cat([decoder.prefix(z).unsqueeze(1), placed(decoder, inputs)], 1)
    hidden_from = ~torch.ones(8, 8, dtype=torch.bool).tril()
    for block in decoder.blocks:
        hidden = torch_layer(block)(hidden, src_mask=hidden_from)
    expected = decoder.final_norm(hidden)[:, 1:]
    torch.testing.assert_close(decoder.unroll(inputs, Context(z)), expected, rtol=1e-12, atol=1e-12)


def test_without_latent_it_is_a_causal_transformer():
    decoder, inputs = make(latent_dim=0, num_layers=3), draw(2, 7, 4)
    hidden = placed(decoder, inputs)
    for block in decoder.blocks:
        hidden = torch_layer(block)(hidden, src_mask=~torch.ones(7, 7, dtype=torch.bool).tril())
    expected = decoder.final_norm(hidden)
    torch.testing.assert_close(decoder.unroll(inputs, Context()), expected, rtol=1e-12, atol=1e-12)


def test_slots_stand_beside_the_words_in_each_head():
    """One layer, place by place and head by head."""
    decoder, inputs, z = make(num_layers=1, num_slots=3), draw(1, 5, 4), draw(1, 3)
    (block,) = decoder.blocks
    hidden = placed(decoder, inputs)[0]
    queries, keys, values = block.attention_input(block.attention_norm(hidden)).split(8, -1)
    slot_keys, slot_values = decoder.slots[0](z[0]).reshape(2, 2, 3, 4)
    rows = []
    for place in range(5):
        found = []
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            seen = torch.cat([slot_keys[head], keys[: place + 1, part]])
            weights = (seen @ queries[place, part] / 4**0.5).softmax(0)
            found.append(weights @ torch.cat([slot_values[head], values[: place + 1, part]]))
        rows.append(torch.cat(found))
    hidden = hidden + block.attention_output(torch.stack(rows))
    hidden = hidden + block.feed_forward(block.feed_forward_norm(hidden))
    expected = decoder.final_norm(hidden)
    torch.testing.assert_close(
        decoder.unroll(inputs, Context(z))[0], expected, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_layer_has_slots_of_its_own(layer):
    decoder, inputs, z = make(num_layers=3), draw(2, 5, 4), draw(2, 3)
    hidden = decoder.unroll(inputs, Context(z))
    weight = decoder.slots[layer].weight.detach().clone()
    with torch.no_grad():
        decoder.slots[layer].weight.zero_()
    assert (decoder.unroll(inputs, Context(z)) - hidden).abs().max() > 1e-6
    with torch.no_grad():
        for slots in decoder.slots:
            slots.weight.zero_()
        decoder.slots[layer].weight.copy_(weight)
    assert (
        decoder.unroll(inputs, Context(z)) - decoder.unroll(inputs, Context(-z))
    ).abs().max() > 1e-6


def test_order_of_the_words_before_matters():
    """To one layer, words without positions would be a set."""
    decoder, inputs, z = make(num_layers=1), draw(1, 4, 4), draw(1, 3)
    swapped = inputs[:, [0, 2, 1, 3]]
    last = decoder.unroll(inputs, Context(z))[:, 3] - decoder.unroll(swapped, Context(z))[:, 3]
    assert last.abs().max() > 1e-6


def test_equal_words_at_two_places_have_two_states():
    """Without positions the mean of equal words is the word: every state would be the same."""
    decoder = make(latent_dim=0)
    hidden = decoder.unroll(draw(1, 1, 4).expand(1, 6, 4), Context())
    assert torch.pdist(hidden[0]).min() > 1e-6


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("latent_dim", [0, 3])
@EACH_WAY
def test_cache_is_teacher_forcing_over_sixty_words(injection, latent_dim, dtype, tolerance):
    """States are of unit size after the last norm, so the tolerance is a few roundings."""
    decoder = make(injection=injection, latent_dim=latent_dim).to(dtype)
    inputs = draw(2, 60, 4).to(dtype)
    z = draw(2, 3).to(dtype) if latent_dim else None
    hidden = decoder.unroll(inputs, Context(z))
    state = decoder.initial_state(Context(z, batch_shape=(2,)))
    for place in range(60):
        one, state = decoder.advance(inputs[:, place], state, Context(z))
        torch.testing.assert_close(one, hidden[:, place], rtol=0, atol=tolerance)


@EACH_WAY
def test_states_are_kept_as_they_were_and_can_be_chosen_from(injection):
    """As a beam search does: rows of an old state, in another order and more than once."""
    decoder, inputs, z = make(injection=injection), draw(3, 6, 4), draw(3, 3)
    states = [decoder.initial_state(Context(z, batch_shape=(3,)))]
    for place in range(6):
        before = [tensor.clone() for tensor in tensors(states[-1])]
        states.append(decoder.advance(inputs[:, place], states[-1], Context(z))[1])
        assert all(map(torch.equal, before, tensors(states[-2])))
    assert all(len(tensor) == 3 for state in states for tensor in tensors(state))
    rows = torch.tensor([2, 0, 2, 1])
    following = draw(4, 4)
    one, _ = decoder.advance(following, pick(states[3], rows), Context(z[rows]))
    whole = torch.cat([inputs[rows, :3], following.unsqueeze(1)], 1)
    expected = decoder.unroll(whole, Context(z[rows]))[:, 3]
    torch.testing.assert_close(one, expected, rtol=0, atol=1e-12)


def test_what_the_draws_share_is_computed_once():
    decoder, z = make(num_layers=2), draw(5, 2, 3)
    seen = []
    for module in (decoder.input.words, *(block.attention_input for block in decoder.blocks)):
        module.register_forward_hook(lambda _, given, out: seen.append(given[0].shape))
    assert decoder.unroll(draw(2, 7, 4), Context(z)).shape == (5, 2, 7, 8)
    assert seen == [(2, 7, 4), (2, 7, 8), (5, 2, 7, 8)]


def test_a_sentence_longer_than_any_seen_has_a_score():
    decoder = make(latent_dim=0, max_length=700)
    tokens = torch.randint(3, 9, (1, 700))
    assert decoder().log_prob(tokens).isfinite().all()


def test_bad_numbers_are_refused_by_name():
    with pytest.raises(
        ValueError, match="divisible by num_heads, got hidden_dim=8 and num_heads=3"
    ):
        make(num_heads=3)
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        make(num_layers=0)
    with pytest.raises(ValueError, match="num_slots must be at least 1, got 0"):
        make(num_slots=0)
