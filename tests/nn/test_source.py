# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoders that attend to a source and copy from it."""

import itertools

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pyro_textvae import zoo
from pyro_textvae.distributions import Context, Memory
from pyro_textvae.distributions.context import SharedMemory
from pyro_textvae.errors import UserError
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder, SourceReader, TextAndSourceEncoder
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED

EACH = pytest.mark.parametrize("name", zoo.names("decoders"))
EACH_COPYING = pytest.mark.parametrize("copying", [False, True])
SOURCE = torch.tensor([[4, 5, 4, EOS], [5, EOS, 0, 0]])


def make(name, copying=True, vocab_size=6, max_length=3, **options):
    torch.manual_seed(0)
    sizes = {"vocab_size": vocab_size, "embedding_dim": 4, "hidden_dim": 8, "latent_dim": 3}
    decoder = zoo.load("decoders", name)(
        **sizes, max_length=max_length, memory_dim=5, copying=copying, **options
    )
    # The untrained maps are small: let what is found decide something.
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return decoder.double().eval()


def memory_of(ids, seed=0):
    states = torch.randn(*ids.shape, 5, generator=torch.Generator().manual_seed(seed))
    return Memory(states.double(), ids > 0, ids)


def z_of(*shape):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(1)).double()


def all_rows(vocab_size, length):
    rows = set()
    for row in itertools.product(range(FIRST_EMITTED, vocab_size), repeat=length):
        end = row.index(EOS) if EOS in row else length
        rows.add(row[: end + 1] + (0,) * (length - 1 - end) if end < length else row)
    return torch.tensor(sorted(rows))


@EACH
@EACH_COPYING
def test_probabilities_of_all_texts_given_a_source_sum_to_one(name, copying):
    text = make(name, copying)(z_of(2), memory_of(SOURCE))
    total = text.log_prob(all_rows(6, 3).unsqueeze(1)).logsumexp(0)
    assert total.abs().max() < 1e-10


@EACH
@EACH_COPYING
def test_a_text_is_scored_as_it_is_drawn(name, copying):
    """The sum of the scores of single steps, as generation has them."""
    decoder = make(name, copying)
    memory, z = memory_of(SOURCE), z_of(2)
    rows = torch.tensor([[5, 4, EOS], [3, EOS, 0]])
    context = Context(z, memory)
    state, previous, total = decoder.initial_state(context), torch.full((2,), 1), 0
    for place in range(3):
        scores, state = decoder.step(previous, state, context)
        log_prob = scores.log_softmax(-1).gather(-1, (rows[:, place : place + 1] - 2).clamp(min=0))
        total = total + torch.where(rows[:, place] > 0, log_prob.squeeze(-1), 0.0)
        previous = rows[:, place]
    assert torch.allclose(decoder(z, memory).log_prob(rows), total, atol=1e-12)


@EACH
def test_padding_and_neighbours_of_a_source_change_nothing(name):
    decoder, rows = make(name), torch.tensor([[5, 4, EOS], [3, EOS, 0]])
    memory, z = memory_of(SOURCE), z_of(2)
    both = decoder(z, memory).log_prob(rows)
    for row, length in enumerate((4, 2)):
        part = slice(row, row + 1)
        alone = Memory(
            memory.states[part, :length], memory.mask[part, :length], memory.ids[part, :length]
        )
        assert torch.allclose(decoder(z[part], alone).log_prob(rows[part]), both[part], atol=1e-12)


@EACH
def test_the_source_matters_and_draws_that_share_it_are_those_of_copies(name):
    decoder, rows = make(name), torch.tensor([[5, 4, EOS], [3, EOS, 0]])
    memory, z = memory_of(SOURCE), z_of(7, 2)
    shared = decoder(z, memory).log_prob(rows)
    for draw in range(7):
        assert torch.allclose(decoder(z[draw], memory).log_prob(rows), shared[draw], atol=1e-12)
    other = decoder(z, memory_of(SOURCE, seed=1)).log_prob(rows)
    assert (shared - other).abs().min() > 1e-6


@EACH_COPYING
def test_scores_are_the_same_where_padding_is_scored_too(copying, monkeypatch):
    """As on a GPU, which would wait for a count of the words."""
    decoder, rows = make("lstm", copying), torch.tensor([[5, 4, EOS], [3, EOS, 0]])
    memory, z = memory_of(SOURCE), z_of(4, 2)
    words_alone = decoder(z, memory).log_prob(rows)
    monkeypatch.setattr(type(decoder), "_padding_is_scored", staticmethod(lambda hidden: True))
    assert torch.allclose(decoder(z, memory).log_prob(rows), words_alone, atol=1e-12)


class LargestStorage(TorchDispatchMode):
    """The size of the largest tensor that is made, in numbers that are stored."""

    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                stored = tensor.untyped_storage().nbytes() // tensor.element_size()
                self.size = max(self.size, stored)
        return made


@EACH
def test_draws_hold_no_copies_of_a_long_source(name):
    """16 draws, 2 sources of 200 words: no tensor is as large as 16 copies of their states."""
    decoder = make(name, max_length=5)
    ids = torch.randint(3, 6, (2, 200), generator=torch.Generator().manual_seed(0))
    states = torch.randn(2, 200, 5).double()
    wide = torch.nn.Linear(5, 5).double()
    with LargestStorage() as largest, torch.no_grad():
        memory = Memory(wide(states), ids > 0, ids)
        decoder(z_of(16, 2), memory).log_prob(torch.tensor([[4, EOS], [5, EOS]]))
    # The weights, (16, 2, 2, 200), are smaller than the copies, (16, 2, 200, 5), would be.
    assert 0 < largest.size < 16 * 2 * 200 * 5


@EACH
def test_draws_hold_no_copies_of_a_long_source_while_they_are_generated(name):
    """The same bound, word by word; a copy for each draw is made only where it is asked for."""
    decoder = make(name, max_length=5)
    ids = torch.randint(3, 6, (2, 200), generator=torch.Generator().manual_seed(0))
    memory = Memory(torch.randn(2, 200, 5).double(), ids > 0, ids)
    with LargestStorage() as largest:
        drawn = decoder(z_of(16, 2), memory).sample()
    assert drawn.shape == (16, 2, 5)
    assert 0 < largest.size < 16 * 2 * 200 * 5
    shared = Context(z_of(16, 2), memory).flatten()
    with LargestStorage() as largest:
        assert shared.memory.states.shape == (32, 200, 5)
    assert largest.size == 16 * 2 * 200 * 5


@EACH
@pytest.mark.parametrize(
    "rows", [[0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1], [1, 0, 0, 1, 1, 0], [1, 1, 0, 1, 1, 1]]
)
def test_rows_that_share_a_source_are_generated_as_copies_are(name, rows):
    """In any order, and where one source has more rows than the other."""
    decoder, sources, rows = make(name), memory_of(SOURCE), torch.tensor(rows)
    shared = SharedMemory(sources, rows)
    copies = Memory(*(part[rows] for part in (sources.states, sources.mask, sources.ids)))
    assert (shared.groups is None) == (rows.sum() != 3)
    scores = []
    for memory in (shared, copies):
        context = Context(z_of(6), memory)
        state, previous = decoder.initial_state(context), torch.full((6,), 1)
        for word in (3, 4):
            out, state = decoder.step(previous, state, context)
            previous = torch.full((6,), word)
            scores.append(out)
    assert torch.allclose(torch.stack(scores[:2]), torch.stack(scores[2:]), atol=1e-12)
    chosen = shared.index_select(torch.tensor([4, 4, 0]))
    assert torch.equal(chosen.ids, copies.ids[[4, 4, 0]])
    assert chosen.sources is sources


def test_shared_rows_stay_shared_as_they_are_expanded():
    """As a beam search expands them: (beams, rows) of three rows of two sources."""
    decoder, sources = make("lstm"), memory_of(SOURCE)
    memory = SharedMemory(sources, torch.tensor([0, 1, 0]))
    wide = memory.expand((4, 3))
    assert (wide.batch_shape, wide.states.shape) == ((4, 3), (4, 3, 4, 5))
    assert torch.equal(wide.flatten().rows, torch.tensor([0, 1, 0] * 4))
    assert torch.equal(wide.distinct().rows, memory.rows)
    assert wide.flatten().sources is wide.distinct().sources is sources
    alone = memory.index_select(torch.tensor([1])).expand((4, 1)).distinct()
    assert (alone.batch_shape, alone.states.shape) == ((), (4, 5))
    z, rows = z_of(4, 3), torch.tensor([[5, 4, EOS], [3, EOS, 0], [4, 4, EOS]])
    copies = Memory(memory.states, memory.mask, memory.ids)
    shared = decoder(z, memory).log_prob(rows)
    assert torch.allclose(shared, decoder(z, copies).log_prob(rows), atol=1e-12)
    torch.manual_seed(0)
    drawn = decoder(z, memory).sample()
    torch.manual_seed(0)
    assert torch.equal(drawn, decoder(z, copies).sample())


def test_all_that_is_copied_stands_in_the_source():
    decoder = make("lstm", vocab_size=30, max_length=8)
    torch.nn.init.constant_(decoder.source.gate.bias, -1000.0)
    ids = torch.tensor([[7, 11, 19, EOS]])
    drawn = decoder(z_of(1), memory_of(ids)).sample((200,)).unique()
    assert set(drawn.tolist()) <= {0, EOS, 7, 11, 19}
    assert len(drawn) == 5
    torch.nn.init.constant_(decoder.source.gate.bias, 1000.0)
    rows = torch.tensor([[8, 9, EOS]])
    without = make("lstm", vocab_size=30, max_length=8, copying=False)
    states = decoder.state_dict()
    without.load_state_dict({n: states[n] for n in without.state_dict()})
    memory = memory_of(ids)
    assert decoder(z_of(1), memory).log_prob(rows) == without(z_of(1), memory).log_prob(rows)


def test_mixture_is_that_of_the_dense_distributions():
    torch.manual_seed(0)
    reader = SourceReader(state_dim=8, memory_dim=5, copying=True).double()
    hidden, scores = torch.randn(2, 6, 8).double(), torch.randn(2, 6, 9).double()
    weights = torch.randn(2, 6, 4).double().softmax(-1)
    ids = torch.tensor([[4, 5, 4, EOS], [7, 8, 7, 10]])
    gate = reader.gate(hidden).sigmoid()
    one_hot = torch.nn.functional.one_hot(ids - FIRST_EMITTED, 9).double()
    dense = gate * scores.softmax(-1) + (1 - gate) * weights @ one_hot
    mixed = reader.mixed_scores(scores, hidden, weights, ids)
    assert torch.allclose(mixed.exp(), dense, atol=1e-12)
    for word in range(FIRST_EMITTED, 11):
        log_prob = reader.mixed_log_prob(
            scores.log_softmax(-1)[..., word - FIRST_EMITTED],
            hidden,
            weights,
            (ids == word).unsqueeze(1),
        )
        assert torch.allclose(log_prob.exp(), dense[..., word - FIRST_EMITTED], atol=1e-12)


@pytest.mark.parametrize("name", zoo.names("encoders"))
def test_what_an_encoder_reads_has_the_features_that_it_gives(name):
    torch.manual_seed(0)
    encoder = zoo.load("encoders", name)(vocab_size=9, embedding_dim=4, hidden_dim=8).eval()
    memory, features = encoder.read(SOURCE)
    assert torch.allclose(features, encoder(SOURCE), atol=1e-6)
    assert memory.states.shape == (2, 4, encoder.memory_dim)
    assert torch.equal(memory.ids, SOURCE)
    assert memory.mask.tolist() == [[True] * 4, [True, True, False, False]]
    alone, _ = encoder.read(SOURCE[1:, :2])
    assert torch.allclose(alone.states, memory.states[1:, :2], atol=1e-6)


def test_what_does_not_fit_is_refused():
    sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    with pytest.raises(ValueError, match="copying needs a source to copy from: give memory_dim"):
        LSTMDecoder(**sizes, latent_dim=2, max_length=5, copying=True)
    decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=5)
    with pytest.raises(ValueError, match="does not attend to a source"):
        decoder(torch.zeros(2, 2), memory_of(SOURCE))
    with pytest.raises(UserError, match="this encoder reads a source too"):
        TextAndSourceEncoder(LSTMEncoder(**sizes), LSTMEncoder(**sizes))(SOURCE)
