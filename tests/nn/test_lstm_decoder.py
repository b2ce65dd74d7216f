# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.distributions import Context
from pyro_textvae.nn import LSTMDecoder
from pyro_textvae.special_tokens import BOS, EOS, UNK


def make(**options):
    sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5, "latent_dim": 3}
    return LSTMDecoder(**(sizes | {"max_length": 8} | options))


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("latent_dim", [0, 3])
def test_steps_agree_with_teacher_forcing(num_layers, latent_dim):
    decoder = make(num_layers=num_layers, latent_dim=latent_dim).eval()
    tokens = torch.randint(3, 9, (6, 7))
    z = torch.randn(6, latent_dim) if latent_dim else None
    forced = decoder.token_scores(decoder.hidden_states(tokens, Context(z)))
    state = decoder.initial_state(Context(z, batch_shape=(6,)))
    previous = torch.full((6,), BOS)
    for position in range(7):
        scores, state = decoder.step(previous, state, Context(z))
        torch.testing.assert_close(scores, forced[:, position], rtol=0, atol=1e-5)
        previous = tokens[:, position]


def test_no_token_sees_a_later_one():
    decoder = make().double().eval()
    tokens = torch.randint(3, 9, (1, 7))
    z = torch.randn(1, 3, dtype=torch.float64)
    hidden = decoder.hidden_states(tokens, Context(z))
    for position in range(7):
        changed = tokens.clone()
        changed[0, position] = (changed[0, position] - 3 + 1) % 6 + 3
        other = decoder.hidden_states(changed, Context(z))
        assert torch.equal(other[:, : position + 1], hidden[:, : position + 1])
        assert position == 6 or not torch.equal(other[:, position + 1], hidden[:, position + 1])


def test_z_reaches_the_words_by_the_state_and_by_the_input():
    decoder = make().double().eval()
    tokens = torch.tensor([[4, 5, EOS]])
    z = torch.randn(1, 3, dtype=torch.float64)
    with torch.no_grad():
        decoder.initial_cell.weight.zero_()
    by_input = decoder.hidden_states(tokens, Context(z)) - decoder.hidden_states(
        tokens, Context(-z)
    )
    assert (by_input.abs() > 1e-6).any()
    decoder = make().double().eval()
    with torch.no_grad():
        decoder.lstm.weight_ih_l0[:, 4:].zero_()
    by_state = decoder.hidden_states(tokens, Context(z)) - decoder.hidden_states(
        tokens, Context(-z)
    )
    assert (by_state.abs() > 1e-6).any()


@pytest.mark.parametrize("option", ["embedding_dropout", "output_dropout", "word_dropout"])
def test_each_dropout_acts_in_training_only(option):
    decoder = make(**{option: 0.5}).double()
    tokens = torch.tensor([[4, 5, 6, 7, EOS]]).expand(20, -1)
    z = torch.randn(20, 3, dtype=torch.float64)
    decoder.train()
    assert not torch.equal(decoder(z).log_prob(tokens), decoder(z).log_prob(tokens))
    decoder.eval()
    assert torch.equal(decoder(z).log_prob(tokens), decoder(z).log_prob(tokens))


def test_word_dropout_hides_inputs_at_its_rate_and_never_the_start():
    decoder = make(word_dropout=0.3).train()
    ids = torch.cat([torch.full((1000, 1), BOS), torch.randint(4, 9, (1000, 40))], 1)
    seen = decoder.word_dropout(ids)
    assert (seen[:, 0] == BOS).all()
    hidden = seen[:, 1:] == UNK
    assert (seen[:, 1:][~hidden] == ids[:, 1:][~hidden]).all()
    # A share of 40,000 independent words: 4.5 standard errors.
    error = (0.3 * 0.7 / hidden.numel()) ** 0.5
    assert abs(hidden.double().mean().item() - 0.3) < 4.5 * error


@pytest.mark.parametrize("batch", [1, 3, 40])
def test_score_of_a_sentence_is_the_same_in_any_batch(batch):
    """Batch composition and padding: 1e-5 nats in float32, as published numbers are quoted."""
    decoder = make(hidden_dim=64, vocab_size=500, max_length=60).eval()
    sentence = torch.cat([torch.randint(3, 500, (1, 12)), torch.tensor([[EOS]])], 1)
    z = torch.randn(1, 3)
    alone = decoder(z).log_prob(sentence)
    others = torch.randint(3, 500, (batch, 55))
    others[:, -1] = EOS
    padded = torch.nn.functional.pad(sentence, (0, 42))
    together = decoder(torch.cat([z, torch.randn(batch, 3)])).log_prob(torch.cat([padded, others]))
    assert abs(together[0].item() - alone.item()) < 1e-5 * abs(alone.item())


def test_scores_without_gradients_are_the_scores_with_them():
    decoder = make(vocab_size=50, max_length=40).double().eval()
    tokens = torch.randint(3, 50, (30, 40))
    z = torch.randn(30, 3, dtype=torch.float64)
    with_gradients = decoder(z).log_prob(tokens)
    with torch.no_grad():
        in_chunks = decoder(z).log_prob(tokens)
    torch.testing.assert_close(in_chunks, with_gradients.detach(), rtol=1e-12, atol=0)


def test_z_of_another_size_is_refused():
    with pytest.raises(ValueError, match="latent_dim=3, got z of size 2"):
        make()(torch.zeros(1, 2))
    with pytest.raises(ValueError, match="latent_dim=3, got z of size 0"):
        make()()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("hidden_dim", 0, "hidden_dim must be at least 1, got 0"),
        ("latent_dim", -1, "latent_dim must be at least 0, got -1"),
        ("max_length", 0, "max_length must be at least 1, got 0"),
        ("word_dropout", 1.0, r"word_dropout must lie in \[0, 1\), got 1.0"),
        ("output_dropout", -0.1, "output_dropout must lie"),
    ],
)
def test_bad_numbers_are_refused_by_name(option, value, message):
    with pytest.raises(ValueError, match=message):
        make(**{option: value})
