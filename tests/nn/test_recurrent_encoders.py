# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from pyro_textvae.nn.encoders import GRUEncoder, LSTMEncoder

SIZES = {"vocab_size": 7, "embedding_dim": 3, "hidden_dim": 8}
LENGTHS = [4, 1, 5, 3]

both = pytest.mark.parametrize(
    ("encoder_class", "name"), [(LSTMEncoder, "lstm"), (GRUEncoder, "gru")]
)


def final_states(network, encoder, sentence):
    """The hidden states that torch's own network ends with, ``(num_layers * directions, H)``."""
    _, state = network(encoder.embedding(sentence[None]))
    hidden = state[0] if isinstance(network, nn.LSTM) else state
    return hidden[:, 0]


@both
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_features_are_the_state_at_the_last_real_token(encoder_class, name, num_layers, tokens):
    encoder = encoder_class(**SIZES, num_layers=num_layers).double()
    features = encoder(tokens)
    for row, length in enumerate(LENGTHS):
        expected = final_states(getattr(encoder, name), encoder, tokens[row, :length])[-1]
        torch.testing.assert_close(features[row], expected, rtol=0, atol=1e-12)


@both
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_both_directions_end_as_in_torch_without_padding(encoder_class, name, num_layers, tokens):
    encoder = encoder_class(**SIZES, num_layers=num_layers, bidirectional=True).double()
    network = getattr(nn, name.upper())(3, 8, num_layers, batch_first=True, bidirectional=True)
    network.double()
    with torch.no_grad():
        for layer in range(num_layers):
            for suffix, one in (("", "ahead"), ("_reverse", "back")):
                source = encoder.get_submodule(f"{name}.{one}.{layer}")
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    place = getattr(network, f"{part}_l{layer}{suffix}")
                    place.copy_(getattr(source, f"{part}_l0"))
    features = encoder(tokens)
    assert encoder.output_dim == 16
    for row, length in enumerate(LENGTHS):
        expected = final_states(network, encoder, tokens[row, :length])[-2:].flatten()
        torch.testing.assert_close(features[row], expected, rtol=0, atol=1e-12)


@both
@pytest.mark.parametrize("num_layers", [1, 2])
def test_weights_have_the_names_and_the_random_numbers_of_earlier_runs(
    encoder_class, name, num_layers
):
    torch.manual_seed(3)
    encoder = encoder_class(**SIZES, num_layers=num_layers)
    torch.manual_seed(3)
    embedding = nn.Embedding(7, 3)
    nn.init.uniform_(embedding.weight, -0.1, 0.1)
    network = getattr(nn, name.upper())(3, 8, num_layers, batch_first=True)
    expected = {f"{name}.{key}": value for key, value in network.state_dict().items()}
    expected["embedding.weight"] = embedding.weight
    assert encoder.state_dict().keys() == expected.keys()
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, expected[key]), key
