# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a sentence is conditioned on: one batch shape, expanded by views."""

import dataclasses

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.distributions import AutoregressiveCategorical, Context, Memory, select_rows
from pyro_textvae.special_tokens import BOS, EOS

from .memory_decoder import STATE_DIM, MemoryDecoder, make_memory
from .test_autoregressive_categorical import all_outcomes

VOCAB_SIZE, LATENT_DIM, LENGTH = 6, 2, 4


def parts_of(memory):
    return memory.states, memory.mask, memory.ids


def draw(*shape):
    return torch.randn(*shape, LATENT_DIM, dtype=torch.float64)


@pytest.fixture
def decoder():
    decoder = MemoryDecoder(VOCAB_SIZE, LATENT_DIM, LENGTH).double().eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_()
    return decoder


def test_parts_have_one_batch_shape_and_share_their_storage():
    z, memory = draw(1000, 3), make_memory(3)
    context = Context(z, memory)
    assert context.batch_shape == context.memory.batch_shape == context.z.shape[:-1] == (1000, 3)
    wider = context.expand((7, 1000, 3))
    for part, expanded in zip(parts_of(memory), parts_of(wider.memory), strict=True):
        assert expanded.shape[:3] == (7, 1000, 3)
        assert expanded.untyped_storage().data_ptr() == part.untyped_storage().data_ptr()
    assert wider.z.untyped_storage().data_ptr() == z.untyped_storage().data_ptr()
    assert wider.memory.states.shape == (7, 1000, 3, 5, STATE_DIM)


def test_distinct_undoes_expansion_and_nothing_else():
    memory = make_memory(4, 3)
    assert memory.distinct().batch_shape == (4, 3)
    again = memory.expand((9, 4, 3)).distinct()
    assert all(map(torch.equal, parts_of(again), parts_of(memory)))
    one = make_memory(1, 3)
    inside = one.expand((8, 5, 3)).distinct()
    assert inside.batch_shape == (3,)
    assert torch.equal(inside.states, one.states[0])
    # Equal to its neighbours, but by its values: that may change.
    copies = memory.map(lambda part: part[:1].repeat(4, *[1] * (part.dim() - 1)))
    assert copies.distinct().batch_shape == (4, 3)
    assert Context(None, memory.expand((9, 4, 3))).distinct().batch_shape == (4, 3)
    assert Context(batch_shape=(5, 2)).distinct().batch_shape == ()
    assert Context(draw(2).expand(5, 2, -1)).distinct().batch_shape == (5, 2)


def test_flattened_rows_are_the_rows_in_order():
    context = Context(draw(4, 1), make_memory(3))
    flat = context.flatten()
    assert flat.batch_shape == flat.memory.batch_shape == (12,)
    for k in range(4):
        for n in range(3):
            assert torch.equal(flat.z[3 * k + n], context.z[k, n])
            for flattened, part in zip(
                parts_of(flat.memory), parts_of(context.memory), strict=True
            ):
                assert torch.equal(flattened[3 * k + n], part[k, n])
    rows = torch.tensor([5, 5, 0])
    chosen = flat.index_select(rows)
    assert chosen.batch_shape == (3,)
    assert torch.equal(chosen.z, flat.z[rows])
    assert torch.equal(chosen.memory.ids, flat.memory.ids[rows])
    # One copy of each source needs no storage of its own.
    plain = make_memory(3)
    assert plain.flatten().states.data_ptr() == plain.states.data_ptr()


def test_records_are_frozen_and_agree_with_themselves():
    memory = make_memory(3)
    for record in (memory, Context(draw(3), memory)):
        for field in dataclasses.fields(record):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(record, field.name, None)
    with pytest.raises(ValueError, match=r"states \(\*B, S, H\).*got \(3, 5, 6\), \(3, 4\)"):
        Memory(memory.states, memory.mask[:, :4], memory.ids)
    with pytest.raises(ValueError, match="mask must be boolean and its ids int64, got torch.int64"):
        Memory(memory.states, memory.ids, memory.ids)
    with pytest.raises(ValueError, match=r"sentences \(4,\) and the memory for \(3,\)"):
        Context(draw(4), memory)


def test_a_tensor_is_a_context_of_z_alone(decoder):
    plain = zoo.load("decoders", "gru")(VOCAB_SIZE, 4, 5, LATENT_DIM, LENGTH).double()
    z, tokens = draw(3), torch.tensor([[4, EOS], [EOS, 0], [5, EOS]])
    expected = plain(z).log_prob(tokens)
    for context in (z, Context(z)):
        distribution = AutoregressiveCategorical(plain, context, LENGTH)
        assert distribution.batch_shape == (3,)
        assert torch.equal(distribution.log_prob(tokens), expected)
    assert AutoregressiveCategorical(plain, None, LENGTH).batch_shape == ()


@pytest.mark.parametrize("name", zoo.names("decoders"))
def test_decoder_that_attends_to_no_source_refuses_a_memory_by_its_name(name):
    kind = zoo.load("decoders", name)
    built = zoo.build(
        kind,
        {"vocab_size": 6, "embedding_dim": 4, "hidden_dim": 8, "latent_dim": 2, "max_length": 4},
    ).double()
    memory = make_memory(3)
    assert not built.takes_memory
    for call in (
        lambda: built(draw(3), memory),
        lambda: AutoregressiveCategorical(built, Context(draw(3), memory), LENGTH),
    ):
        with pytest.raises(ValueError, match=f"{kind.__name__} does not attend to a source"):
            call()


def test_decoder_that_attends_to_a_source_wants_one(decoder):
    with pytest.raises(ValueError, match="MemoryDecoder attends to a source and got no memory"):
        decoder(draw(3))


def test_probabilities_of_all_sentences_given_a_source_sum_to_one(decoder):
    distribution = decoder(draw(7, 3, 1), make_memory(3, 1))
    assert distribution.batch_shape == (7, 3, 1)
    total = distribution.log_prob(all_outcomes(VOCAB_SIZE, LENGTH)).logsumexp(-1)
    torch.testing.assert_close(total, torch.zeros(7, 3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_draws_that_share_a_source_are_scored_as_copies_of_it(decoder, monkeypatch):
    """Values and gradients, with the keys of a source computed once for all draws."""
    z, memory = draw(50, 3).requires_grad_(), make_memory(3)
    tokens = torch.tensor([[4, 5, EOS], [EOS, 0, 0], [3, EOS, 0]])
    mapped = []
    decoder.key.register_forward_hook(lambda _, given, out: mapped.append(given[0].shape))
    scores = decoder(z, memory).expand((50, 3)).log_prob(tokens)
    assert mapped == [(3, 5, STATE_DIM)]
    copies = memory.map(lambda part: part.repeat(50, *[1] * (part.dim() - 1)))
    expected = decoder(z.reshape(150, -1), copies).log_prob(tokens.repeat(50, 1)).view(50, 3)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-12)
    wanted = (z, *decoder.parameters())
    ours = torch.autograd.grad(scores.square().sum(), wanted)
    theirs = torch.autograd.grad(expected.square().sum(), wanted)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_without_z_a_sentence_is_scored_once_for_all_particles(decoder, monkeypatch):
    decoder = MemoryDecoder(VOCAB_SIZE, 0, LENGTH).double()
    tokens, memory = torch.tensor([[4, EOS], [EOS, 0], [5, EOS]]), make_memory(3)
    seen = []
    decoder.token_scores.register_forward_hook(lambda _, given, out: seen.append(given[0].shape))
    plain = decoder.token_scores.log_prob
    monkeypatch.setattr(
        decoder.token_scores, "log_prob", lambda h, ids: (seen.append(len(h)), plain(h, ids))[1]
    )
    scores = decoder(memory=memory).expand((100, 3)).log_prob(tokens)
    assert scores.shape == (100, 3)
    assert seen == [5]
    assert torch.equal(scores[41], decoder(memory=memory).log_prob(tokens))


def test_generation_sees_its_own_source(decoder):
    """Greedy rows, against the teacher-forced scores after each prefix."""
    z, memory = draw(4, 3), make_memory(3)
    rows = decoder(z, memory).greedy()
    assert rows.shape == (4, 3, LENGTH)
    hidden = decoder.hidden_states(rows, Context(z, memory))
    likeliest = decoder.token_scores(hidden).argmax(-1) + EOS
    ended = (rows == EOS).cumsum(-1) - (rows == EOS).long()
    assert torch.equal(likeliest[ended == 0], rows[ended == 0])
    assert (rows[:, 0] != rows[:, 1]).any()


def test_steps_agree_with_teacher_forcing(decoder):
    context = Context(draw(6), make_memory(6))
    tokens = torch.randint(3, VOCAB_SIZE, (6, 20))
    forced = decoder.token_scores(decoder.hidden_states(tokens, context))
    state, previous = decoder.initial_state(context), torch.full((6,), BOS)
    for position in range(20):
        scores, state = decoder.step(previous, state, context)
        torch.testing.assert_close(scores, forced[:, position], rtol=0, atol=1e-11)
        previous = tokens[:, position]


def test_rows_are_selected_in_any_structure(decoder):
    rows = torch.tensor([1, 1, 0])
    tensor = torch.arange(4.0).view(2, 2)
    context = Context(draw(2), make_memory(2))
    selected = select_rows({"a": [tensor, (tensor, 3)], "b": None, "context": context}, rows)
    assert torch.equal(selected["a"][0], tensor[rows])
    assert torch.equal(selected["a"][1][0], tensor[rows])
    assert selected["a"][1][1] == 3
    assert selected["b"] is None
    assert torch.equal(selected["context"].memory.states, context.memory.states[rows])
    with pytest.raises(TypeError, match="rows of a str cannot be selected"):
        select_rows(("tensor",), rows)


def test_gradients_of_an_expanded_context_meet_in_one_view():
    """So that the parts of z's gradient are added up in the order of earlier runs, to the bit."""
    z = draw(3).requires_grad_()
    assert Context(z).z is z
    assert Context(z).expand((3,)).z.grad_fn.name() == "ExpandBackward0"
