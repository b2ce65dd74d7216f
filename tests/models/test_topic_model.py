# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The topic model of two topics: likelihood and bound by quadrature over the share of the first."""

import pytest
import torch
from pyro import distributions as dist
from pyro import poutine

from pyro_textvae.data import train_tokenizer
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.generation import reconstruct, sample
from pyro_textvae.guides import TopicGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.models import TopicModel
from pyro_textvae.nn import BagOfWordsEncoder
from pyro_textvae.testing import check_guide, check_model

VOCAB_SIZE, MAX_LENGTH, CONCENTRATION = 9, 8, 0.7
TEXTS = torch.tensor([[4, 5, 5, 6, 4, 4, 2], [7, 8, 6, 2, 0, 0, 0], [3, 5, 2, 0, 0, 0, 0]])
PAIRS = [
    ("lda", "dirichlet"),
    ("prodlda", "dirichlet"),
    ("lda", "logistic_normal"),
    ("etm", "logistic_normal"),
    ("prodlda", "logistic_normal"),
]


def pair_of(kind, prior):
    torch.manual_seed(5)
    concentration = 1.0 if kind == "nvdm" else CONCENTRATION
    model = TopicModel(2, VOCAB_SIZE, MAX_LENGTH, 4, kind, prior, concentration).double()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter)
    encoder = BagOfWordsEncoder(VOCAB_SIZE, 4, 6)
    guide = TopicGuide(encoder, 2, prior, concentration).double()
    # Little for every word: a guide of narrow tails has weights of infinite variance.
    guide.parameters_of.bias.data -= 3.0 if prior == "dirichlet" else 0.0
    return model, guide


def share_grid(model):
    """Shares of the first topic, and the prior mass that each stands for; by the middle rule."""
    middle = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    if model.topic_prior == "dirichlet":
        # Of equal prior mass at t = sin^2: the density of a Beta is not bounded at 0 and 1.
        angle = middle * torch.pi / 2
        share = angle.sin() ** 2
        density = dist.Beta(CONCENTRATION, CONCENTRATION).log_prob(share).exp()
        return share, density * 2 * angle.sin() * angle.cos() * torch.pi / 2 / 20_000
    # softmax of two is the sigmoid of their difference.
    difference = torch.distributions.Normal(0.0, 2**0.5 * model.scale).icdf(middle)
    return difference.sigmoid(), torch.full_like(middle, 1 / 20_000)


@pytest.mark.parametrize(("kind", "prior"), PAIRS)
def test_likelihood_by_quadrature(kind, prior):
    model, guide = pair_of(kind, prior)
    share, mass = share_grid(model)
    torch.testing.assert_close(mass.sum().item(), 1.0, atol=1e-4, rtol=0)
    with torch.no_grad():
        theta = torch.stack([share, 1 - share], -1).unsqueeze(1)
        log_p = model.words(theta).log_prob(TEXTS)
    exact = (log_p + mass.log().unsqueeze(1)).logsumexp(0)
    estimate = log_likelihood(model, guide, [{"tokens": TEXTS}], 2000, seed=1)
    error = (estimate.log_px - exact) / estimate.standard_error
    assert error.abs().max() < 4.5
    assert estimate.standard_error.max() < 0.1


@pytest.mark.parametrize("kind", ["lda", "prodlda"])
def test_bound_of_a_dirichlet_by_quadrature(kind):
    model, guide = pair_of(kind, "dirichlet")
    share, _ = share_grid(model)
    with torch.no_grad():
        length = (TEXTS != 0).sum(1, keepdim=True)
        features = torch.cat([guide.encoder(TEXTS), length.double().log()], -1)
        raw = guide.parameters_of(features)
        first, second = (CONCENTRATION + length * torch.nn.functional.softplus(raw)).unbind(1)
        q = dist.Beta(first, second)
        theta = torch.stack([share, 1 - share], -1).unsqueeze(1)
        log_p = model.words(theta).log_prob(TEXTS)
    angle = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000 * torch.pi / 2
    mass = q.log_prob(share[:, None]).exp() * (angle.sin() * angle.cos())[:, None]
    expected = (mass * log_p).sum(0) * torch.pi / 20_000
    prior = dist.Beta(*[torch.tensor(CONCENTRATION, dtype=torch.float64)] * 2)
    exact = (expected - torch.distributions.kl_divergence(q, prior)).sum()
    torch.manual_seed(0)
    losses = torch.tensor(
        [BetaELBO(num_particles=100).loss(model, guide, tokens=TEXTS) for _ in range(20)]
    )
    error = losses.std() / len(losses) ** 0.5
    assert abs(losses.mean() + exact) < 4.5 * error
    assert error < 0.05


@pytest.mark.parametrize(("kind", "prior"), [*PAIRS, ("nvdm", "logistic_normal")])
def test_programs_keep_the_contract_and_generate(kind, prior):
    model, guide = pair_of(kind, prior)
    check_model(model)
    check_guide(guide, model)
    assert sample(model, 4, seed=1, unknown=False).shape == (4, MAX_LENGTH)
    again = reconstruct(model, guide, {"tokens": TEXTS}, method="greedy")
    # A bag has no order: its likeliest word is the likeliest at every place.
    assert all(len(row[row > 2].unique()) <= 1 for row in again)


def test_a_word_more_makes_a_narrower_posterior():
    """What the words add to the prior's concentration is in proportion to their number."""
    _, guide = pair_of("lda", "dirichlet")
    guide.parameters_of.weight.data.zero_()
    texts = torch.tensor([[4, 5, 2, 0, 0, 0], [4, 5, 4, 5, 6, 2]])
    trace = poutine.trace(guide).get_trace(texts)
    added = trace.nodes["theta"]["fn"].concentration - CONCENTRATION
    torch.testing.assert_close(added[1] / added[0], torch.full((2,), 2.0).double())


def test_scale_is_that_of_the_laplace_approximation():
    """Srivastava and Sutton, equation 3, with equal concentrations written out."""
    model = TopicModel(5, VOCAB_SIZE, MAX_LENGTH, 4, "lda", concentration=0.4)
    alpha = [0.4] * 5
    variance = (1 / alpha[0]) * (1 - 2 / 5) + sum(1 / a for a in alpha) / 5**2
    assert model.scale**2 == pytest.approx(variance)
    assert TopicModel(5, VOCAB_SIZE, MAX_LENGTH, 4, "nvdm").scale == 1.0


def test_stop_words_by_name_are_in_no_topic():
    tokenizer = train_tokenizer(["the cat sat", "the dog sat"])
    sizes = {"latent_dim": 2, "vocab_size": len(tokenizer), "max_length": 4, "embedding_dim": 4}
    model = TopicModel(**sizes, stop_words=["the", "sat"], tokenizer=tokenizer)
    words = model.topics().sum(0).nonzero().flatten()
    assert {tokenizer.decode([word]) for word in words.tolist()} == {"cat", "dog"}
    with pytest.raises(ValueError, match="'bird' is no word of the vocabulary"):
        TopicModel(**sizes, stop_words=["bird"], tokenizer=tokenizer)
    with pytest.raises(ValueError, match="leave 0 of 5 words"):
        TopicModel(**sizes, stop_words=4)
    with pytest.raises(ValueError, match="leave topic_prior and concentration out"):
        TopicModel(**sizes, kind="nvdm", topic_prior="dirichlet")


DOCUMENTS = torch.tensor([[[4, 5, 2], [6, 7, 2]], [[5, 2, 0], [0, 0, 0]]])


@pytest.mark.parametrize("prior", ["dirichlet", "logistic_normal"])
def test_sentences_of_a_document_are_of_its_topics(prior):
    """By quadrature over the share that both sentences have in common."""
    torch.manual_seed(5)
    sizes = (2, VOCAB_SIZE, MAX_LENGTH, 4)
    model = TopicModel(*sizes, "lda", prior, CONCENTRATION, max_sentences=3).double()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter)
    guide = TopicGuide(BagOfWordsEncoder(VOCAB_SIZE, 4, 6), 2, prior, CONCENTRATION).double()
    guide.parameters_of.bias.data -= 3.0 if prior == "dirichlet" else 0.0
    check_model(model)
    check_guide(guide, model)
    share, mass = share_grid(model)
    with torch.no_grad():
        theta = torch.stack([share, 1 - share], -1)
        of_number = model.number_scores.log_softmax(-1)
        text = model.words(theta)
        first = of_number[1] + text.log_prob(DOCUMENTS[0, 0]) + text.log_prob(DOCUMENTS[0, 1])
        second = of_number[0] + text.log_prob(DOCUMENTS[1, 0])
        exact = (torch.stack([first, second], 1) + mass.log().unsqueeze(1)).logsumexp(0)
        beside, count = model.beside_topics(DOCUMENTS)
        one_topic = model.words(torch.tensor([1.0, 0.0]).double())
        whole = of_number[0] + one_topic.log_prob(DOCUMENTS[1, 0])
        of_word = one_topic.network.log_prob_in_topics(one_topic.context.z)
    assert count.tolist() == [4, 1]
    # 5 is the second of the words of topics.
    torch.testing.assert_close(beside[1] + of_word[1], whole)
    estimate = log_likelihood(model, guide, [{"tokens": DOCUMENTS}], 2000, seed=1)
    error = (estimate.log_px - exact) / estimate.standard_error
    assert error.abs().max() < 4.5
    assert not estimate.beside_text
