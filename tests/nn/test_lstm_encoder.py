# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.nn import Encoder, LSTMEncoder


@pytest.mark.parametrize("num_layers", [1, 2])
def test_features_are_the_state_at_the_last_real_token(num_layers, tokens):
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8, num_layers=num_layers)
    features = encoder(tokens)
    assert features.shape == (4, 8)
    for row, length in enumerate([4, 1, 5, 3]):
        _, (hidden, _) = encoder.lstm(encoder.embedding(tokens[row : row + 1, :length]))
        torch.testing.assert_close(features[row], hidden[-1, 0], rtol=0, atol=1e-6)


def test_padding_has_no_effect(tokens):
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8).double()
    padded = torch.nn.functional.pad(tokens, (0, 9))
    torch.testing.assert_close(encoder(padded), encoder(tokens), rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_embeddings_in_the_place_of_words(num_layers, tokens):
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8, num_layers=num_layers)
    vectors = encoder.embedding(tokens)
    found = encoder.encode_embeddings(vectors, tokens != 0)
    torch.testing.assert_close(found, encoder(tokens), rtol=0, atol=0)
    whole = encoder.encode_embeddings(vectors[2:3])
    torch.testing.assert_close(whole, encoder(tokens[2:3]), rtol=0, atol=1e-6)


def test_encoder_of_words_alone_says_so():
    class WordsOnly(Encoder):
        def forward(self, tokens):
            return tokens

    with pytest.raises(ValueError, match="WordsOnly has no method encode_embeddings"):
        WordsOnly().encode_embeddings(torch.zeros(1, 2, 3))
