# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Topics beside a vector: all texts enumerated, likelihood by quadrature over both latents."""

import itertools

import pytest
import torch

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.guides import TopicSentenceGuide
from pyro_textvae.models import TopicSentenceVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.testing import check_guide, check_model

VOCAB_SIZE, MAX_LENGTH = 7, 3
TEXTS = torch.tensor([[4, 5, 2], [6, 2, 0], [2, 0, 0]])


@pytest.fixture
def pair():
    torch.manual_seed(4)
    model = TopicSentenceVAE(StandardNormal(1), GRUDecoder(VOCAB_SIZE, 4, 5, 1, MAX_LENGTH), 2)
    guide = TopicSentenceGuide(BagOfWordsEncoder(VOCAB_SIZE, 4, 6), 1, 2)
    model.text.beta.data *= 2
    return model.double(), guide.double()


def every_text():
    ids = range(3, VOCAB_SIZE)
    rows = [
        [*words, 2, *[0] * (MAX_LENGTH - len(words) - 1)]
        for length in range(MAX_LENGTH)
        for words in itertools.product(ids, repeat=length)
    ]
    return torch.tensor(rows + [[*words] for words in itertools.product(ids, repeat=MAX_LENGTH)])


def test_all_texts_have_probability_one(pair):
    model, _ = pair
    z, theta = torch.randn(4, 1, 1).double(), torch.randn(4, 1, 2).double().softmax(-1)
    total = model.text(z, theta).log_prob(every_text()).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(4).double())


def test_first_word_by_hand(pair):
    """Topics add to the scores of words, as much as the gate says, and nothing to <eos>, <unk>."""
    model, _ = pair
    z, theta = torch.tensor([[0.3]]).double(), torch.tensor([[0.8, 0.2]]).double()
    decoder = model.text.decoder
    text = decoder(z)
    hidden, _ = decoder.advance(
        decoder.embed(torch.tensor([1])), text.initial_state(), text.context
    )
    scores = decoder.token_scores(hidden)[0]
    gate = 1 / (1 + (-model.text.gate(hidden)).exp())[0, 0]
    for word in range(4, VOCAB_SIZE):
        added = 0.8 * model.text.beta[0, word - 4] + 0.2 * model.text.beta[1, word - 4]
        scores[word - 2] = scores[word - 2] + gate * added
    by_hand = (scores.exp() / scores.exp().sum()).log()
    first, _ = model.text(z, theta).step(torch.tensor([1]), text.initial_state())
    torch.testing.assert_close(first.log_softmax(-1)[0], by_hand)


def test_likelihood_by_quadrature(pair):
    model, guide = pair
    middle = (torch.arange(150).double() + 0.5) / 150
    normal = torch.distributions.Normal(0.0, 1.0)
    with torch.no_grad():
        share = (2**0.5 * normal.icdf(middle)).sigmoid()  # softmax of two is that of a difference
        grid = torch.cartesian_prod(share, normal.icdf(middle))
        theta = torch.stack([grid[:, 0], 1 - grid[:, 0]], -1).unsqueeze(1)
        log_p = model.text(grid[:, 1:].unsqueeze(1), theta).log_prob(TEXTS)
        exact = log_p.logsumexp(0) - torch.tensor(150.0**2).log()
    estimate = log_likelihood(model, guide, [{"tokens": TEXTS}], 1000, seed=1)
    # The middle rule of 150 points is off by less than 2e-3.
    assert ((estimate.log_px - exact).abs() < 4.5 * estimate.standard_error + 2e-3).all()
    assert estimate.standard_error.max() < 0.1


def test_programs_keep_the_contract(pair):
    model, guide = pair
    check_model(model)
    check_guide(guide, model)
    topics = model.topics()
    assert topics.shape == (2, VOCAB_SIZE)
    torch.testing.assert_close(topics.sum(1), torch.ones(2).double())
