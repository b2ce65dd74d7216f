# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words beyond the vocabulary that a source has and a decoder copies."""

import itertools
import math

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.distributions import Context, Memory
from pyro_textvae.nn import GRUDecoder, GRUEncoder, LSTMDecoder, SourceReader
from pyro_textvae.nn.unknown_words import order_of_unknown_words, tell_unknown_words_apart
from pyro_textvae.special_tokens import EOS, UNK

EACH = pytest.mark.parametrize("name", zoo.names("decoders"))
# Of a vocabulary of 5, so 5 and 7 are words of the sources alone, and 6 and 8 of no source here.
SOURCE = torch.tensor([[4, 5, 7, 5, EOS], [7, UNK, EOS, 0, 0]])
BEYOND = ([5, 7], [7])
CLASSES = range(2, 8)


def make(name, **options):
    torch.manual_seed(0)
    sizes = {"vocab_size": 5, "embedding_dim": 4, "hidden_dim": 8, "latent_dim": 3}
    decoder = zoo.load("decoders", name)(
        **sizes, max_length=3, memory_dim=5, copying=True, **options
    )
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return decoder.double().eval()


def memory_of(ids=SOURCE):
    states = torch.randn(*ids.shape, 5, generator=torch.Generator().manual_seed(0))
    return Memory(states.double(), ids > 0, ids)


def z_of(*shape):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(1)).double()


def all_rows(ids):
    rows = set()
    for row in itertools.product(ids, repeat=3):
        end = row.index(EOS) if EOS in row else 3
        rows.add(row[: end + 1] + (0,) * (2 - end))
    return torch.tensor(sorted(rows))


@EACH
def test_texts_of_the_words_of_a_source_and_of_the_vocabulary_sum_to_one(name):
    """Over the extended vocabulary of each sentence, its own; less without the words of another."""
    for row, beyond in enumerate(BEYOND):
        part = slice(row, row + 1)
        text = make(name)(z_of(2)[part], memory_of(SOURCE[part]))
        total = text.log_prob(all_rows([2, 3, 4, *beyond]).unsqueeze(1)).logsumexp(0)
        assert total.abs().max() < 1e-10
        without = text.log_prob(all_rows([2, 3, 4]).unsqueeze(1)).logsumexp(0)
        assert without.max() < -1e-3


@EACH
def test_a_copied_word_is_scored_as_it_is_drawn_whatever_stands_beside(name):
    """The sum of the scores of single steps, for a batch whose sources have other words."""
    decoder, z, memory = make(name), z_of(2), memory_of()
    rows = torch.tensor([[5, 7, EOS], [7, 4, EOS]])
    context = Context(z, memory)
    state, previous, total = decoder.initial_state(context), torch.full((2,), 1), 0
    for place in range(3):
        scores, state = decoder.step(previous, state, context)
        assert scores.shape == (2, len(CLASSES))
        assert scores[0, 6 - 2] == scores[1, 6 - 2] == scores[1, 5 - 2] == -math.inf
        log_prob = scores.log_softmax(-1).gather(-1, rows[:, place : place + 1] - 2)
        total, previous = total + log_prob.squeeze(-1), rows[:, place]
    both = decoder(z, memory).log_prob(rows)
    assert torch.allclose(both, total, atol=1e-12)
    for row, length in enumerate((5, 3)):
        part = slice(row, row + 1)
        alone = Memory(
            memory.states[part, :length], *(SOURCE[part, :length] > 0, SOURCE[part, :length])
        )
        assert torch.allclose(decoder(z[part], alone).log_prob(rows[part]), both[part], atol=1e-12)


def test_a_copied_word_has_the_weights_of_its_places_and_nothing_of_the_vocabulary():
    reader = SourceReader(state_dim=4, memory_dim=5, copying=True).double()
    hidden, weights = torch.randn(4).double(), torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
    ids = torch.tensor([4, 5, 7, 5])
    mixed = reader.mixed_scores(torch.zeros(3).double(), hidden, weights, ids).exp()
    gate = reader.gate(hidden).sigmoid().squeeze()
    assert torch.allclose(mixed[[3, 5]], (1 - gate) * torch.tensor([0.6, 0.3]).double())
    assert torch.allclose(mixed[2], gate / 3 + (1 - gate) * 0.1)
    assert torch.allclose(mixed.sum(), torch.ones(()).double())


def test_drawn_words_are_of_the_vocabulary_or_of_the_source():
    decoder = make("gru")
    drawn = decoder(z_of(2), memory_of()).sample((300,))
    for row, beyond in enumerate(BEYOND):
        assert {*drawn[:, row].unique().tolist()} <= {0, 2, 3, 4, *beyond}
        assert {*drawn[:, row].unique().tolist()} >= {*beyond}


def test_words_of_no_source_are_refused_and_gradients_are_finite():
    decoder, memory = make("lstm"), memory_of()
    with pytest.raises(ValueError, match=r"must lie in \[0, 8\)"):
        decoder(z_of(2), memory).log_prob(torch.tensor([[8, EOS], [8, EOS]]))
    without = LSTMDecoder(
        vocab_size=5, embedding_dim=4, hidden_dim=6, latent_dim=3, max_length=3, memory_dim=5
    ).double()
    with pytest.raises(ValueError, match=r"must lie in \[0, 5\)"):
        without(z_of(2), memory).log_prob(torch.tensor([[5, EOS], [4, EOS]]))
    decoder(z_of(2), memory).log_prob(torch.tensor([[5, 4, EOS], [7, EOS, 0]])).sum().backward()
    gradients = [p.grad for p in decoder.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)


def test_a_mean_over_words_counts_copied_ones_as_unknown():
    decoder = make("gru")
    shares = torch.rand(2, len(CLASSES)).double()
    vectors = decoder.embed(torch.tensor(CLASSES))
    assert torch.allclose(vectors[3:], vectors[UNK - 2].expand(3, -1))
    assert torch.allclose(decoder.embed_mean(shares), shares @ vectors)


def test_a_reader_sees_which_unknown_word_is_named_again():
    torch.manual_seed(0)
    encoder = GRUEncoder(vocab_size=5, embedding_dim=4, hidden_dim=6)
    said = torch.tensor([[5, 4, 7, 4, 5, EOS], [8, 4, 6, 4, 8, EOS], [5, 4, 7, 4, 7, EOS]])
    states = encoder.read(said)[0].states
    # Which words they are is not seen, and whether the last is the first or the second is.
    assert torch.allclose(states[0], states[1], atol=1e-6)
    assert (states[0, 4] - states[2, 4]).abs().max() > 1e-3
    with_unk = encoder.read(said.masked_fill(said > 4, UNK))[0].states
    assert (with_unk[0, 0] - states[0, 0]).abs().max() > 1e-3


def test_order_of_unknown_words_and_nothing_where_there_is_none():
    ids = torch.tensor([[4, 9, 4, 8, 9, 2, 0], [8, 8, 9, 9, 2, 0, 0]])
    order = order_of_unknown_words(ids, 8)
    assert order.tolist() == [[0, 1, 0, 2, 1, 0, 0], [1, 1, 2, 2, 0, 0, 0]]
    vectors = torch.randn(2, 7, 4)
    assert tell_unknown_words_apart(vectors, ids, 10) is vectors
    changed = (tell_unknown_words_apart(vectors, ids, 8) != vectors).any(-1)
    assert torch.equal(changed, order > 0)


def test_a_copying_decoder_without_such_words_is_as_before():
    """The classes are those of the vocabulary, no more."""
    decoder = GRUDecoder(
        vocab_size=5,
        embedding_dim=4,
        hidden_dim=6,
        latent_dim=0,
        max_length=3,
        memory_dim=5,
        copying=True,
    )
    memory = Memory(
        torch.randn(1, 3, 5), torch.ones(1, 3, dtype=torch.bool), torch.tensor([[4, 3, 2]])
    )
    scores, _ = decoder.step(
        torch.ones(1, dtype=torch.long),
        decoder.initial_state(Context(None, memory)),
        Context(None, memory),
    )
    assert scores.shape == (1, 3)
