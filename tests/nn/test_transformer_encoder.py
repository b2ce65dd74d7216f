# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F

from pyro_textvae.nn.encoders import TransformerEncoder
from pyro_textvae.nn.positions import sinusoidal_positions
from tests.nn.test_transformer_block import torch_layer

LENGTHS = [4, 1, 5, 3]
EACH_POOLING = pytest.mark.parametrize("pooling", ["attention", "mean"])


def make(**options):
    sizes = {"vocab_size": 7, "embedding_dim": 4, "hidden_dim": 8, "num_heads": 2}
    encoder = TransformerEncoder(**(sizes | options)).double()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(0.0, 0.5)
    return encoder.eval()


def last_layer(encoder, tokens):
    """What the encoder pools over, ``(N, T, hidden_dim)``."""
    found = []
    handle = encoder.final_norm.register_forward_hook(lambda _, given, out: found.append(out))
    encoder(tokens)
    handle.remove()
    return found[0]


@EACH_POOLING
def test_padding_changes_nothing(pooling, tokens):
    encoder = make(pooling=pooling)
    features = encoder(tokens)
    assert features.shape == (4, encoder.output_dim)
    torch.testing.assert_close(encoder(F.pad(tokens, (0, 9))), features, rtol=0, atol=1e-12)
    for row, length, alone in zip(tokens, LENGTHS, features, strict=True):
        torch.testing.assert_close(encoder(row[None, :length])[0], alone, rtol=0, atol=1e-12)


@EACH_POOLING
def test_what_stands_at_places_that_do_not_count_is_not_read(pooling, tokens):
    encoder = make(pooling=pooling)
    mask = torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(1)
    embeddings = encoder.embedding(tokens)
    other = torch.where(mask.unsqueeze(-1), embeddings, 1e3)
    features = encoder.encode_embeddings(other, mask)
    assert torch.equal(features, encoder(tokens))
    assert not torch.equal(encoder.encode_embeddings(other), features)


def test_layers_are_those_that_torch_has(tokens):
    encoder = make(num_layers=3)
    padded = torch.arange(5) >= torch.tensor(LENGTHS).unsqueeze(1)
    waves = sinusoidal_positions(0, 5, 8, dtype=torch.float64, device=tokens.device)
    hidden = encoder.input(2.0 * encoder.embedding(tokens)) + waves
    for block in encoder.blocks:
        hidden = torch_layer(block)(hidden, src_key_padding_mask=padded)
    expected = encoder.final_norm(hidden)[~padded]
    ours = last_layer(encoder, tokens)[~padded]
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_mean_is_over_the_words_and_not_the_padding(tokens):
    encoder = make(pooling="mean")
    hidden = last_layer(encoder, tokens)
    for row, length, features in zip(hidden, LENGTHS, encoder(tokens), strict=True):
        by_hand = sum(row[place] for place in range(length)) / length
        torch.testing.assert_close(features, by_hand, rtol=1e-13, atol=1e-13)


def test_attention_weighs_the_words_for_each_head_by_its_own_query(tokens):
    encoder = make(pooling="attention")
    hidden = last_layer(encoder, tokens)
    for row, length, features in zip(hidden, LENGTHS, encoder(tokens), strict=True):
        by_hand = []
        for head, query in enumerate(encoder.queries.weight):
            weights = [torch.exp(query @ row[place]) for place in range(length)]
            parts = row[:, 4 * head : 4 * head + 4]
            weighed = sum(weights[place] * parts[place] for place in range(length))
            by_hand.append(weighed / sum(weights))
        torch.testing.assert_close(features, torch.cat(by_hand), rtol=1e-12, atol=1e-12)


@EACH_POOLING
def test_order_of_the_words_matters(pooling):
    """Without positions a sentence would be a set of words."""
    encoder = make(pooling=pooling)
    one, other = encoder(torch.tensor([[4, 5, 6, 2], [6, 5, 4, 2]]))
    assert (one - other).abs().max() > 1e-6


def test_every_place_sees_the_later_ones():
    encoder = make()
    hidden = last_layer(encoder, torch.tensor([[4, 5, 6, 2], [4, 5, 3, 2]]))
    assert (hidden[0] - hidden[1]).abs().amax(-1).min() > 1e-6


def test_dropout_acts_in_training_only(tokens):
    encoder = make(layer_dropout=0.3)
    assert torch.equal(encoder(tokens), encoder(tokens))
    encoder.train()
    assert not torch.equal(encoder(tokens), encoder(tokens))


def test_words_start_small_and_uniform():
    weight = TransformerEncoder(500, 16, 8).embedding.weight
    assert weight.abs().max() <= 0.1
    # The mean square of 8,000 uniform numbers: 5 standard errors of a square.
    error = (0.1**4 * (1 / 5 - 1 / 9) / weight.numel()) ** 0.5
    assert abs(weight.double().square().mean().item() - 0.1**2 / 3) < 5 * error


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("pooling", "max", "pooling must be of attention, mean, got 'max'"),
        ("num_heads", 3, "divisible by num_heads, got hidden_dim=8 and num_heads=3"),
        ("num_layers", 0, "num_layers must be at least 1, got 0"),
        ("hidden_dim", 0, "hidden_dim must be at least 1, got 0"),
        ("layer_dropout", 1.0, r"layer_dropout must lie in \[0, 1\), got 1.0"),
    ],
)
def test_bad_numbers_are_refused_by_name(option, value, message):
    with pytest.raises(ValueError, match=message):
        make(**{option: value})
