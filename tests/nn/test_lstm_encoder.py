# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.nn import LSTMEncoder


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
