# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is special to the dilated CNN; what all decoders keep is in test_decoders.py."""

import pytest
import torch
import torch.nn.functional as F

from pyro_textvae.distributions import Context
from pyro_textvae.nn.causal_convolution import CausalConvolution
from pyro_textvae.nn.decoders import DilatedCNNDecoder
from pyro_textvae.nn.injection import INJECTIONS

SIZES = pytest.mark.parametrize(
    ("kernel_size", "num_layers", "receptive_field"),
    [(2, 3, 8), (3, 3, 15), (2, 6, 33), (3, 6, 65)],
)
EACH_WAY = pytest.mark.parametrize("injection", [*INJECTIONS, INJECTIONS])


def make(**options):
    sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8, "latent_dim": 3}
    decoder = DilatedCNNDecoder(**(sizes | {"max_length": 80} | options)).double()
    # At their usual start z and the words before hardly matter; here they must be seen to.
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0.0, 0.5)
    return decoder.eval()


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def places_that_differ(one, other):
    """Which of T places of ``(1, T, H)`` are not bitwise equal."""
    return (one != other).any(-1)[0].nonzero().flatten().tolist()


@SIZES
def test_an_input_reaches_the_receptive_field_and_nothing_else(
    kernel_size, num_layers, receptive_field
):
    decoder = make(kernel_size=kernel_size, num_layers=num_layers)
    assert decoder.receptive_field == receptive_field
    inputs, z = draw(1, receptive_field + 9, 4), draw(1, 3)
    changed = inputs.clone()
    changed[:, 4] += 1.0
    differ = places_that_differ(
        decoder.unroll(inputs, Context(z)), decoder.unroll(changed, Context(z))
    )
    assert differ == list(range(4, 4 + receptive_field))


@SIZES
def test_a_prediction_sees_as_many_words_before_as_is_said(
    kernel_size, num_layers, receptive_field
):
    decoder = make(kernel_size=kernel_size, num_layers=num_layers, latent_dim=0)
    tokens = torch.randint(3, 9, (1, receptive_field + 3))
    hidden = decoder.hidden_states(tokens, Context())[:, -1]
    for words_back, seen in ((1, True), (receptive_field, True), (receptive_field + 1, False)):
        changed = tokens.clone()
        changed[0, -1 - words_back] = (changed[0, -1 - words_back] - 2) % 6 + 3
        other = decoder.hidden_states(changed, Context())[:, -1]
        assert torch.equal(other, hidden) is not seen


@pytest.mark.parametrize(("num_layers", "words"), [(3, 15), (5, 63), (10, 125), (15, 187)])
def test_receptive_fields_of_the_four_sizes_of_the_paper(num_layers, words):
    assert make(num_layers=num_layers).receptive_field == words


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("dilation", [1, 3, 8])
@pytest.mark.parametrize("length", [1, 3, 4, 9, 20])
def test_convolution_is_that_of_torch(kernel_size, dilation, length):
    ours = CausalConvolution(5, 6, kernel_size, dilation).double()
    weight = ours.weight.unflatten(1, (kernel_size, 5)).transpose(1, 2)
    inputs, before = draw(2, length, 5), draw(4, 2, 5)

    def theirs(padded):
        found = F.conv1d(padded.flatten(0, -3).mT, weight, ours.bias, dilation=dilation)
        return found.mT.unflatten(0, padded.shape[:-2])

    expected = theirs(F.pad(inputs, (0, 0, ours.reach, 0)))
    torch.testing.assert_close(ours(inputs), expected, rtol=1e-12, atol=1e-12)
    padding = before.unsqueeze(-2).expand(-1, -1, ours.reach, -1)
    expected = theirs(torch.cat([padding, inputs.expand(4, -1, -1, -1)], -2))
    torch.testing.assert_close(ours(inputs, before), expected, rtol=1e-12, atol=1e-12)


@EACH_WAY
@pytest.mark.parametrize(("kernel_size", "num_layers"), [(3, 3), (2, 6)])
def test_windows_agree_with_teacher_forcing_far_beyond_the_receptive_field(
    injection, kernel_size, num_layers
):
    decoder = make(injection=injection, kernel_size=kernel_size, num_layers=num_layers)
    inputs, z = draw(2, 60, 4), draw(2, 3)
    assert decoder.receptive_field < 40
    forced = decoder.unroll(inputs, Context(z))
    state = decoder.initial_state(Context(z, batch_shape=(2,)))
    for place in range(60):
        hidden, state = decoder.advance(inputs[:, place], state, Context(z))
        torch.testing.assert_close(hidden, forced[:, place], rtol=1e-11, atol=1e-11)
        reach = [(kernel_size - 1) * dilation for dilation in (1, 2, 4, 8, 16, 1)[:num_layers]]
        assert [window.shape for window in state] == [(2, places, 4) for places in reach]


@EACH_WAY
def test_states_are_kept_and_can_be_reordered_as_a_beam_search_does(injection):
    decoder = make(injection=injection, num_layers=3)
    inputs, z = draw(3, 25, 4), draw(3, 3)
    rows = torch.tensor([2, 0, 0])
    state = decoder.initial_state(Context(z, batch_shape=(3,)))
    for place in range(20):
        kept = [window.clone() for window in state]
        _, following = decoder.advance(inputs[:, place], state, Context(z))
        decoder.advance(draw(3, 4), state, Context(z))
        again, _ = decoder.advance(inputs[:, place], state, Context(z))
        assert all(map(torch.equal, state, kept))
        state = following
    state = tuple(window[rows] for window in state)
    after = torch.cat([inputs[rows, :20], inputs[:, 20:]], 1)
    forced = decoder.unroll(after, Context(z[rows]))
    torch.testing.assert_close(
        again, decoder.unroll(inputs, Context(z))[:, 19], rtol=1e-11, atol=1e-11
    )
    for place in range(20, 25):
        hidden, state = decoder.advance(after[:, place], state, Context(z[rows]))
        torch.testing.assert_close(hidden, forced[:, place], rtol=1e-11, atol=1e-11)


@SIZES
def test_what_stands_before_the_words_reaches_all_words_that_see_it_and_no_later_one(
    kernel_size, num_layers, receptive_field
):
    sizes = {"kernel_size": kernel_size, "num_layers": num_layers}
    decoder = make(injection="initial_state", **sizes)
    inputs, z = draw(1, receptive_field + 9, 4), draw(1, 3)
    hidden = decoder.unroll(inputs, Context(z))
    differ = places_that_differ(hidden, decoder.unroll(inputs, Context(draw(1, 3))))
    assert differ == list(range(receptive_field - 1))
    dilations = (1, 2, 4, 8, 16, 1)[:num_layers]
    for layer in range(num_layers):
        with torch.no_grad():
            decoder.before_words.bias[4 * layer : 4 * layer + 4] += 1.0
        moved = decoder.unroll(inputs, Context(z))
        reached = set(range((kernel_size - 1) * dilations[layer]))
        for dilation in dilations[layer + 1 :]:
            reached = {place + tap * dilation for place in reached for tap in range(kernel_size)}
        assert places_that_differ(hidden, moved) == sorted(reached)
        hidden = moved


def test_nothing_before_the_words_is_zeros_before_them():
    with_latent = make(injection="initial_state")
    plain = make(latent_dim=0)
    plain.load_state_dict(
        {name: p for name, p in with_latent.state_dict().items() if "before_words" not in name}
    )
    with torch.no_grad():
        with_latent.before_words.bias.zero_()
    inputs = draw(2, 12, 4)
    zeros = with_latent.unroll(inputs, Context(torch.zeros(2, 3, dtype=torch.float64)))
    torch.testing.assert_close(zeros, plain.unroll(inputs, Context()), rtol=1e-12, atol=1e-12)


def test_what_does_not_depend_on_z_is_computed_once_for_all_draws():
    rows = {}
    for way in INJECTIONS:
        decoder = make(injection=way, num_layers=2)
        seen = []
        layers = (decoder.input_layer.words, *(block.narrow for block in decoder.blocks))
        for layer in layers:
            layer.register_forward_hook(lambda _, given, out, to=seen: to.append(out.shape[:-2]))
        assert decoder.unroll(draw(5, 7, 4), Context(draw(50, 5, 3))).shape == (50, 5, 7, 8)
        rows[way] = seen
    assert rows == {
        "attention": [(5,), (5,), (5,)],
        "initial_state": [(5,), (5,), (50, 5)],
        "concatenation": [(5,), (50, 5), (50, 5)],
        "addition": [(5,), (50, 5), (50, 5)],
    }


def test_no_unit_is_dead_however_small_the_network():
    """Widths of 2 inside: a ReLU there would be off for every word at many of these starts."""
    for seed in range(20):
        torch.manual_seed(seed)
        decoder = DilatedCNNDecoder(11, 4, 5, 0, 9).double()
        decoder().log_prob(torch.tensor([[4, 5, 10, 7, 2], [6, 3, 2, 0, 0]])).sum().backward()
        for name, parameter in decoder.named_parameters():
            # <pad> and <bos> apart, a row that moves nothing is an embedding that is not read.
            rows = parameter.grad if "embedding" not in name else parameter.grad.sum(0)
            if "convolution.weight" in name:
                rows = rows.abs().sum(-1)
            assert (rows.abs() > 0).all(), name


def test_the_host_reads_no_value():
    """On the meta device there are shapes only: to read a value or count a mask is an error."""
    decoder = make(injection=INJECTIONS).to("meta")
    inputs, z = torch.empty(6, 9, 4, device="meta").double(), draw(6, 3).to("meta")
    assert decoder.unroll(inputs, Context(z)).shape == (6, 9, 8)
    hidden, state = decoder.advance(
        inputs[:, 0], decoder.initial_state(Context(z, batch_shape=(6,))), Context(z)
    )
    hidden, state = decoder.advance(inputs[:, 1], state, Context(z))
    assert hidden.shape == (6, 8)


@EACH_WAY
@pytest.mark.parametrize("latent_dim", [0, 3])
def test_half_precision_by_autocast(injection, latent_dim):
    torch.manual_seed(0)
    decoder = DilatedCNNDecoder(9, 16, 32, latent_dim, 30, injection=injection).eval()
    inputs = torch.randn(4, 30, 16)
    z = torch.randn(4, 3) if latent_dim else None
    exact = decoder.unroll(inputs, Context(z))
    with torch.autocast("cpu", torch.bfloat16):
        forced = decoder.unroll(inputs, Context(z))
        state = decoder.initial_state(Context(z, batch_shape=(4,)))
        for place in range(30):
            hidden, state = decoder.advance(inputs[:, place], state, Context(z))
            # States of size one, and a dozen roundings in a row of one part in 2**9 each.
            torch.testing.assert_close(hidden.float(), forced[:, place].float(), rtol=0, atol=0.1)
    torch.testing.assert_close(forced.float(), exact, rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("kernel_size", 1, "kernel_size must be at least 2, got 1"),
        ("num_layers", 0, "num_layers must be at least 1, got 0"),
        ("layer_dropout", 1.0, r"layer_dropout must lie in \[0, 1\), got 1.0"),
    ],
)
def test_bad_numbers_are_refused_by_name(option, value, message):
    with pytest.raises(ValueError, match=message):
        make(**{option: value})


def test_layer_dropout_acts_on_every_block_and_on_no_word_itself():
    decoder = make(num_layers=2, layer_dropout=0.5)
    for block in decoder.blocks:
        decoder.eval()
        inputs, z = draw(1, 6, 4), draw(1, 3)
        hidden = decoder.unroll(inputs, Context(z))
        block.train()
        assert not torch.equal(decoder.unroll(inputs, Context(z)), hidden)
        with torch.no_grad():
            block.widen.weight.zero_()
            block.widen.bias.zero_()
        assert torch.equal(
            decoder.unroll(inputs, Context(z)), decoder.eval().unroll(inputs, Context(z))
        )
