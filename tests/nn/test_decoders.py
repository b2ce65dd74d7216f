# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every decoder of the catalogue keeps, whatever its network is and however z comes in."""

import inspect
import itertools

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.distributions import Context, select_rows
from pyro_textvae.nn.injection import INJECTIONS
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED, UNK
from pyro_textvae.testing import check_model

VOCAB_SIZE = 9
EACH = pytest.mark.parametrize("name", zoo.names("decoders"))
EACH_WAY = pytest.mark.parametrize("injection", [*INJECTIONS, INJECTIONS])


def make(name, **options):
    sizes = {"vocab_size": VOCAB_SIZE, "embedding_dim": 4, "hidden_dim": 8, "latent_dim": 3}
    decoder = zoo.build(zoo.load("decoders", name), sizes | {"max_length": 8} | options).double()
    # At their usual start z and the words before hardly matter; here they must be seen to.
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.7)
    return decoder.eval()


def reads_words(name):
    return name not in ("inputless", "bag_of_words")


def draw(*shape, latent_dim=3):
    return torch.randn(*shape, latent_dim, dtype=torch.float64) if latent_dim else None


@EACH
@EACH_WAY
@pytest.mark.parametrize("num_layers", [1, 3])
def test_steps_agree_with_teacher_forcing(name, injection, num_layers):
    decoder = make(name, injection=injection, num_layers=num_layers, max_length=40)
    check_steps(decoder, draw(6), tolerance=1e-11)


@EACH
def test_steps_agree_in_single_precision_and_without_latent(name):
    check_steps(make(name, max_length=40).float(), draw(6).float(), tolerance=1e-5)
    check_steps(make(name, max_length=40, latent_dim=0), None, tolerance=1e-11)


def check_steps(decoder, z, tolerance):
    tokens = torch.randint(3, VOCAB_SIZE, (6, 40))
    with torch.no_grad():
        forced = decoder.token_scores(decoder.hidden_states(tokens, Context(z)))
        state = decoder.initial_state(Context(z, batch_shape=(6,)))
        previous = torch.full((6,), BOS)
        for position in range(40):
            scores, state = decoder.step(previous, state, Context(z))
            torch.testing.assert_close(scores, forced[:, position], rtol=tolerance, atol=tolerance)
            previous = tokens[:, position]


@EACH
@EACH_WAY
def test_no_token_sees_a_later_one(name, injection):
    decoder = make(name, injection=injection, num_layers=2)
    tokens, z = torch.randint(3, VOCAB_SIZE, (1, 7)), draw(1)
    hidden = decoder.hidden_states(tokens, Context(z))
    for position in range(7):
        changed = tokens.clone()
        changed[0, position] = (changed[0, position] - 3 + 1) % 6 + 3
        other = decoder.hidden_states(changed, Context(z))
        assert torch.equal(other[:, : position + 1], hidden[:, : position + 1])
        if position < 6 and reads_words(name):
            assert not torch.equal(other[:, position + 1], hidden[:, position + 1])


@EACH
@EACH_WAY
def test_z_reaches_the_first_word_and_the_last(name, injection):
    decoder = make(name, injection=injection)
    tokens = torch.randint(3, VOCAB_SIZE, (1, 3))
    difference = decoder.hidden_states(tokens, Context(draw(1))) - decoder.hidden_states(
        tokens, Context(draw(1))
    )
    assert (difference.abs().amax(-1) > 1e-6).all()


@EACH
@EACH_WAY
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 5), (4, 1), (1, 5), (5,)])
def test_draws_that_share_a_sentence_are_scored_as_if_alone(name, injection, num_layers, shape):
    """Values and gradients of one batch under many draws, against copies of it."""
    decoder = make(name, injection=injection, num_layers=num_layers)
    tokens = torch.randint(3, VOCAB_SIZE, (5, 7))
    tokens[1, 4], tokens[1, 5:], tokens[:, -1] = EOS, 0, torch.tensor([EOS, 0, EOS, EOS, EOS])
    z = draw(*shape).requires_grad_()
    wanted = (z, *decoder.parameters())
    ours = decoder(z).log_prob(tokens)
    rows = torch.broadcast_shapes(shape, (5,))
    assert ours.shape == rows
    weight = torch.randn(rows, dtype=torch.float64)
    found = torch.autograd.grad((weight * ours).sum(), wanted)
    copies = decoder(z.expand(*rows, 3).reshape(-1, 3)).log_prob(
        tokens.expand(*rows, 7).reshape(-1, 7)
    )
    torch.testing.assert_close(ours, copies.view(rows), rtol=1e-11, atol=1e-11)
    expected = torch.autograd.grad((weight.flatten() * copies).sum(), wanted)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@EACH
def test_draws_that_share_a_sentence_have_its_words_embedded_once(name):
    decoder = make(name)
    looked_up = []
    decoder.embedding.register_forward_hook(lambda _, given, out: looked_up.append(out.shape))
    decoder(draw(50, 5)).log_prob(torch.tensor([[4, EOS]]).expand(5, 2))
    assert looked_up == ([] if name == "bag_of_words" else [(5, 2, 4)])


@EACH
@pytest.mark.parametrize("injection", INJECTIONS)
def test_probabilities_of_all_short_sentences_sum_to_one(name, injection):
    """Every row of three places over six classes, those that ended before included."""
    decoder = make(name, injection=injection, max_length=3, vocab_size=6)
    rows = set()
    for row in itertools.product(range(FIRST_EMITTED, 6), repeat=3):
        end = row.index(EOS) if EOS in row else 3
        rows.add(row[: end + 1] + (0,) * (2 - end) if end < 3 else row)
    total = decoder(draw(1)).log_prob(torch.tensor(sorted(rows))).logsumexp(0)
    assert abs(total.item()) < 1e-12


@EACH
@EACH_WAY
def test_contract_of_a_model(name, injection):
    from pyro_textvae.models import SentenceVAE
    from pyro_textvae.priors import StandardNormal

    for num_layers in (1, 2):
        decoder = make(name, injection=injection, num_layers=num_layers)
        check_model(SentenceVAE(prior=StandardNormal(3), decoder=decoder))


@EACH
def test_every_rate_acts_in_training_only(name):
    tokens = torch.tensor([[4, 5, 6, 7, EOS]]).expand(20, -1)
    z = draw(20)
    accepted = zoo.load("decoders", name).__init__.__annotations__
    rates = [option for option in accepted if option.endswith("_dropout")]
    assert "output_dropout" in rates
    for option in rates:
        decoder = make(name, **{option: 0.5, "layer_dropout": 0.0} | {option: 0.5})
        assert torch.equal(decoder(z).log_prob(tokens), decoder(z).log_prob(tokens))
        decoder.train()
        assert not torch.equal(decoder(z).log_prob(tokens), decoder(z).log_prob(tokens))


@EACH
@pytest.mark.parametrize("hidden_dim", [4, 8])
def test_tied_embeddings_are_one_parameter(name, hidden_dim):
    if "tied_embeddings" not in zoo.load("decoders", name).__init__.__annotations__:
        assert not reads_words(name)
        return
    decoder = make(name, tied_embeddings=True, hidden_dim=hidden_dim)
    rows = [p for p in decoder.parameters() if len(p) >= VOCAB_SIZE - FIRST_EMITTED and p.dim() > 1]
    assert sum(p is decoder.embedding.weight for p in rows) == 1
    assert not [p for p in rows if p.shape[0] == VOCAB_SIZE - FIRST_EMITTED]
    scores = decoder.token_scores(torch.ones(1, hidden_dim, dtype=torch.float64))
    with torch.no_grad():
        decoder.embedding.weight[UNK] += 1.0
    change = decoder.token_scores(torch.ones(1, hidden_dim, dtype=torch.float64)) - scores
    assert change[0].nonzero().flatten().tolist() == [UNK - FIRST_EMITTED]


@EACH
def test_bad_numbers_are_refused_by_name(name):
    taken = inspect.signature(zoo.load("decoders", name)).parameters
    for option, value, message in (
        ("hidden_dim", 0, "hidden_dim must be at least 1, got 0"),
        ("num_layers", 0, "num_layers must be at least 1, got 0"),
        ("latent_dim", -1, "latent_dim must be at least 0, got -1"),
        ("max_length", 0, "max_length must be at least 1, got 0"),
        ("output_dropout", -0.1, "output_dropout must lie"),
        ("injection", "prefix", "injection must be of .*attention, got 'prefix'"),
        ("injection", [], "injection is empty"),
    ):
        if option in taken:
            with pytest.raises(ValueError, match=message):
                make(name, **{option: value})
    if "num_slots" in taken:
        with pytest.raises(ValueError, match="num_slots must be at least"):
            make(name, injection="attention", num_slots=0)
    with pytest.raises(ValueError, match="latent_dim=3, got z of size 2"):
        make(name)(torch.zeros(1, 2))
    with pytest.raises(ValueError, match="latent_dim=3, got z of size 0"):
        make(name)()


@EACH
@EACH_WAY
@pytest.mark.parametrize(("num_layers", "latent_dim"), [(1, 0), (2, 3)])
def test_rows_of_a_state_go_on_as_if_generated_alone(name, injection, num_layers, latent_dim):
    """As in a beam search: the rows of a state in another order, and more than once."""
    decoder = make(name, injection=injection, num_layers=num_layers, latent_dim=latent_dim)
    tokens, rows = torch.randint(3, VOCAB_SIZE, (4, 6)), torch.tensor([3, 0, 3, 1, 2])
    context = Context(draw(4, latent_dim=latent_dim), batch_shape=(4,))

    def after(words, context, state, first):
        states = []
        for place in range(first, words.shape[1]):
            previous = words[:, place - 1] if place else torch.full((len(words),), BOS)
            scores, state = decoder.step(previous, state, context)
            states.append(scores)
        return torch.stack(states), state

    with torch.no_grad():
        _, state = after(tokens[:, :4], context, decoder.initial_state(context), 0)
        assert all(len(tensor) == 4 for tensor in tensors_of(state))
        selected = context.index_select(rows)
        ours, _ = after(tokens[rows], selected, select_rows(state, rows), 4)
        alone, _ = after(tokens[rows], selected, decoder.initial_state(selected), 0)
    torch.testing.assert_close(ours, alone[4:], rtol=1e-11, atol=1e-11)


def tensors_of(state):
    return [state] if isinstance(state, torch.Tensor) else [t for s in state for t in tensors_of(s)]


@EACH
@EACH_WAY
def test_no_sentences_and_no_draws(name, injection):
    decoder = make(name, injection=injection)
    none = torch.zeros(0, 6, dtype=torch.long)
    assert decoder(draw(0)).log_prob(none).shape == (0,)
    assert decoder(draw(5, 0)).log_prob(none).shape == (5, 0)
    tokens = torch.tensor([[4, EOS]])
    assert decoder(draw(0, 1)).log_prob(tokens).shape == (0, 1)
