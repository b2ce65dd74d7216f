# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.nn.decoders import BagOfWordsDecoder
from pyro_textvae.special_tokens import FIRST_EMITTED

TOKENS = torch.tensor([[4, 5, 4, 2], [6, 2, 0, 0]])


@pytest.mark.parametrize("num_layers", [1, 2])
def test_log_prob_is_that_of_the_counts(num_layers):
    """Of a draw for each value of a label beside K draws, as under enumeration, too."""
    torch.manual_seed(0)
    decoder = BagOfWordsDecoder(9, 4, 5, 3, 6, num_layers=num_layers).double().eval()
    z = torch.randn(2, 4, 2, 3).double()
    counts = torch.nn.functional.one_hot(TOKENS, 9).sum(1)[:, FIRST_EMITTED:].double()
    hidden = z if num_layers == 1 else decoder.layers[0](z).tanh()
    scores = hidden @ decoder.token_scores.weight.T + decoder.token_scores.bias
    by_hand = (counts * scores.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(decoder(z).log_prob(TOKENS), by_hand)


def test_language_model_of_it_is_a_unigram():
    decoder = BagOfWordsDecoder(9, 4, 5, 0, 6).double()
    with torch.no_grad():
        decoder.token_scores.bias.copy_(torch.arange(7.0))
    by_hand = decoder.token_scores.bias.log_softmax(0)[TOKENS[1, :2] - FIRST_EMITTED].sum()
    torch.testing.assert_close(decoder().log_prob(TOKENS)[1], by_hand)
