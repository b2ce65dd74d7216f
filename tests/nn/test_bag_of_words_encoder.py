# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.nn.encoders import BagOfWordsEncoder

SIZES = {"vocab_size": 7, "embedding_dim": 3, "hidden_dim": 8}


def test_features_are_those_of_the_mean_of_the_real_words(tokens):
    encoder = BagOfWordsEncoder(**SIZES, num_layers=2).double()
    for row, length in enumerate([4, 1, 5, 3]):
        mean = sum(encoder.embedding.weight[word] for word in tokens[row, :length]) / length
        first, second = encoder.layers
        expected = torch.relu(second(torch.relu(first(mean))))
        torch.testing.assert_close(encoder(tokens)[row], expected, rtol=0, atol=1e-12)


def test_any_order_gives_the_same_features():
    encoder = BagOfWordsEncoder(**SIZES).double()
    one, other = encoder(torch.tensor([[4, 5, 6, 3, 2], [3, 6, 4, 5, 2]]))
    assert one.any()
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_word_said_twice_counts_twice():
    encoder = BagOfWordsEncoder(**SIZES).double()
    once, twice = encoder(torch.tensor([[4, 5, 2, 0], [4, 4, 5, 2]]))
    assert (once - twice).abs().max() > 1e-9


def test_few_units_answer_all_sentences_alike_at_the_start():
    encoder = BagOfWordsEncoder(vocab_size=1000, embedding_dim=64, hidden_dim=64)
    features = encoder(torch.cat([torch.randint(3, 1000, (50, 19)), torch.full((50, 1), 2)], 1))
    silent = (features == 0).all(0) | (features > 0).all(0)
    assert silent.float().mean() < 0.1


def test_dropout_is_of_the_entries_of_each_layers_input_and_in_training_only(tokens):
    encoder = BagOfWordsEncoder(**SIZES, num_layers=2, dropout=0.5).double()
    seen = []
    for layer in encoder.layers:
        layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    encoder.eval()
    mean, hidden = (encoder(tokens), seen.pop(0), seen.pop(0))[1:]
    encoder.train()
    encoder(tokens)
    assert set((seen[0] / mean).detach().round(decimals=6).flatten().tolist()) == {0.0, 2.0}
    assert (seen[1] == 0).sum() > (hidden == 0).sum()


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\)"):
        BagOfWordsEncoder(**SIZES, dropout=rate)
