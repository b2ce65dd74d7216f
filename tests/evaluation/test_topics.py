# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Numbers of topics against anchors by hand."""

import math

import pytest
import torch

from pyro_textvae.data.batching import Batch
from pyro_textvae.evaluation.topics import (
    diversity,
    matched_total_variation,
    normalised_mutual_information,
    normalised_pmi,
    purity,
    top_words,
)
from pyro_textvae.evaluation.topics.topic_numbers import perplexities, topic_numbers
from pyro_textvae.guides import TopicGuide
from pyro_textvae.models import TopicModel
from pyro_textvae.nn import BagOfWordsEncoder


def test_coherence_by_hand():
    """Windows of 3 of the first text: 4 5 6, 5 6 7, 6 7 4; the second is one window, 4 5."""
    texts = [torch.tensor([4, 5, 6, 7, 4]), torch.tensor([4, 5])]
    found = normalised_pmi(torch.tensor([[4, 5], [6, 7], [5, 7]]), texts, window=3)
    of_4_5 = math.log((2 / 4) / (3 / 4 * 3 / 4)) / -math.log(2 / 4)
    of_6_7 = math.log((2 / 4) / (3 / 4 * 2 / 4)) / -math.log(2 / 4)
    of_5_7 = math.log((1 / 4) / (3 / 4 * 2 / 4)) / -math.log(1 / 4)
    torch.testing.assert_close(found, torch.tensor([of_4_5, of_6_7, of_5_7]).double())


def test_coherence_counts_a_window_once_and_averages_over_pairs():
    texts = [torch.tensor([4, 4, 5]), torch.tensor([6]), torch.tensor([6, 4])]
    found = normalised_pmi(torch.tensor([[4, 5, 6]]), texts)
    # 4 stands in two of three windows, however often in one.
    of_4_5, of_4_6 = (math.log(ratio) / math.log(3) for ratio in (3 / 2, 3 / 4))
    torch.testing.assert_close(found, torch.tensor([(of_4_5 + of_4_6 - 1) / 3]).double())


def test_coherence_without_texts_is_refused():
    with pytest.raises(ValueError, match="coherence needs texts"):
        normalised_pmi(torch.tensor([[4, 5]]), [])


def test_diversity_is_of_all_topics_together():
    topics = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.5, 0.3, 0.2, 0.0], [0.0, 0.1, 0.2, 0.7]])
    assert top_words(topics, 2).tolist() == [[0, 1], [0, 1], [3, 2]]
    assert diversity(topics, 2) == 4 / 6


def test_matching_finds_a_permutation_and_not_the_nearest_of_each():
    """Both true topics are nearest to the first; matching has to give one the second."""
    truth = torch.tensor([[0.8, 0.2, 0.0], [0.6, 0.4, 0.0]])
    topics = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.3, 0.7]])
    distance, match = matched_total_variation(topics, truth)
    assert sorted(match.tolist()) == [0, 1]
    torch.testing.assert_close(distance.sum(), torch.tensor(0.1 + 0.7))
    distance, match = matched_total_variation(topics[:1], truth)
    torch.testing.assert_close(distance.sort().values, torch.tensor([0.1, 1.0]))
    assert sorted(match.tolist()) == [-1, 0]


def test_agreement_by_hand():
    """Of 8 texts: cluster 0 has 3 of label 0 and 1 of label 1, cluster 1 has 4 of label 1."""
    clusters, labels = torch.tensor([0] * 4 + [1] * 4), torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    of_labels = -(3 * math.log(3 / 8) + 5 * math.log(5 / 8)) / 8
    given_cluster = -(3 * math.log(3 / 4) + math.log(1 / 4)) / 8
    expected = 2 * (of_labels - given_cluster) / (of_labels + math.log(2))
    assert normalised_mutual_information(clusters, labels) == pytest.approx(expected)
    assert normalised_mutual_information(labels, clusters) == pytest.approx(expected)
    assert purity(clusters, labels) == 7 / 8


def test_perplexities_of_documents_and_of_the_corpus_differ():
    found = perplexities(torch.tensor([1.0, 12.0, 0.0]), torch.tensor([1, 4, 0]))
    assert found["perplexity_per_document"] == pytest.approx(math.exp((1 + 3) / 2))
    assert found["perplexity_per_corpus"] == pytest.approx(math.exp(13 / 5))


@pytest.mark.parametrize("prior", ["logistic_normal", "dirichlet"])
def test_numbers_of_a_model_are_in_corpus_order(prior):
    """Batches in another order than the corpus; perplexity of a model that ignores its topics."""
    torch.manual_seed(0)
    model = TopicModel(2, 8, 5, 4, "lda", prior, stop_words=1)
    model.words.beta.data[1] = model.words.beta.data[0]
    guide = TopicGuide(BagOfWordsEncoder(8, 4, 6), 2, prior)
    texts = torch.tensor([[5, 6, 7, 4, 2], [5, 5, 2, 0, 0], [2, 0, 0, 0, 0]])
    in_order = torch.tensor([2, 0, 1])
    batches = [Batch({"tokens": texts[in_order], "labels": torch.tensor([-1, 0, 1])}, in_order)]
    log_px = model.words(torch.tensor([0.5, 0.5])).log_prob(texts).detach()
    numbers = topic_numbers(
        model,
        guide,
        batches,
        [*texts],
        lambda ids: f"w{ids[0]}",
        log_px=log_px,
        elbo=log_px - 0.25,
        truth={"first": model.topics()[1].detach()},
    )
    log_beta = model.words.beta[0].detach().log_softmax(-1)  # of 5, 6 and 7
    nats = -torch.stack([log_beta.sum(), 2 * log_beta[0]])
    assert numbers["perplexity_per_corpus"] == pytest.approx((nats.sum() / 5).exp().item())
    per_document = (nats / torch.tensor([3.0, 2.0])).mean().exp().item()
    assert numbers["perplexity_per_document"] == pytest.approx(per_document)
    assert numbers["perplexity_per_corpus_of_bound"] > numbers["perplexity_per_corpus"]
    assert numbers["posterior_kl"] == pytest.approx(0.25)
    # 4 different words have 4! orders, two equal ones one.
    assert numbers["log_orders"] == pytest.approx(math.log(24) / 3)
    assert numbers["total_variation"] == pytest.approx(0.0, abs=1e-6)
    assert numbers["diversity"] == 0.5
    assert {"nmi", "purity", "npmi"} < numbers.keys()
    assert sum(topic["share"] for topic in numbers["topics"]) == pytest.approx(1.0)
    assert [topic["words"] for topic in numbers["topics"]][0][0].startswith("w")
