# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.nn.encoders import CNNEncoder

SIZES = {"vocab_size": 7, "embedding_dim": 3, "hidden_dim": 8}


def by_hand(encoder, vectors):
    """Features of one sentence, ``(T, E)``, window by window."""
    strongest = []
    for network in encoder.networks:
        states = vectors
        for layer in network.layers:
            width = layer.kernel_size[0]
            places = range(-((width - 1) // 2), len(states) - (width - 1) // 2)
            answers = []
            for first in places:
                answer = layer.bias
                for offset in range(width):
                    if 0 <= first + offset < len(states):
                        answer = answer + layer.weight[:, :, offset] @ states[first + offset]
                answers.append(answer.clamp(min=0))
            states = torch.stack(answers)
        strongest.append(states.max(0).values)
    return encoder.output(torch.cat(strongest))


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kernel_sizes", [(3, 4, 5), (2,), (1, 9)])
def test_features_are_those_of_every_window_by_hand(kernel_sizes, num_layers, tokens):
    encoder = CNNEncoder(**SIZES, kernel_sizes=kernel_sizes, num_layers=num_layers).double()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(3.0).add_(0.1 * torch.randn_like(parameter))
    features = encoder(tokens)
    for row, length in enumerate([4, 1, 5, 3]):
        expected = by_hand(encoder, encoder.embedding(tokens[row, :length]))
        torch.testing.assert_close(features[row], expected, rtol=0, atol=1e-12)


def test_where_a_pattern_stands_does_not_matter():
    """Only to windows that hang over an end: the words beside it are the same three times."""
    encoder = CNNEncoder(**SIZES, kernel_sizes=(3,)).double()
    early, late = encoder(
        torch.tensor([[4, 4, 5, 6, 4, 4, 4, 4, 4, 2], [4, 4, 4, 4, 4, 5, 6, 4, 4, 2]])
    )
    torch.testing.assert_close(early, late, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel_sizes", [(), (3, 0), (-1,)])
def test_sizes_of_windows_are_checked(kernel_sizes):
    with pytest.raises(ValueError, match="kernel_sizes must be one or more sizes of at least 1"):
        CNNEncoder(**SIZES, kernel_sizes=kernel_sizes)
