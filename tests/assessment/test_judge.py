# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Language models as judges: exact, blind to padding, trained on what they are given."""

import numpy as np
import pytest
import torch

from pyro_textvae.assessment.corpus_of_ids import corpus_of_ids
from pyro_textvae.assessment.judge import Judge, judge_config
from pyro_textvae.assessment.metrics import Frechet, Perplexity
from pyro_textvae.assessment.metrics.frechet import frechet_distance
from pyro_textvae.assessment.sentences import Sentences
from pyro_textvae.data import train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.models import LanguageModel
from pyro_textvae.nn import LSTMDecoder
from pyro_textvae.special_tokens import EOS
from tests.assessment.texts import by_name, material

TOKENIZER = train_tokenizer(["a b c d", "a b"])
ROWS = [[4, 5, EOS], [EOS], [4, 4, 6, 7, 5, EOS], [7, EOS]]


def texts(rows):
    return Sentences.of_rows(rows, TOKENIZER, {"tokenizer": TOKENIZER.fingerprint})


@pytest.fixture
def judge():
    torch.manual_seed(3)
    decoder = LSTMDecoder(
        vocab_size=len(TOKENIZER), embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=7
    )
    return Judge(LanguageModel(decoder).double().eval(), EmptyGuide(), TOKENIZER, 7, {})


def test_log_probs_are_the_models_own_of_each_sentence(judge):
    log_probs, tokens = judge.log_probs(texts(ROWS))
    assert tokens.tolist() == [3, 1, 6, 2]
    for row, log_prob in zip(ROWS, log_probs, strict=True):
        alone = judge.model.decoder().log_prob(torch.tensor(row))
        assert log_prob == pytest.approx(alone.item(), abs=1e-10)


def test_features_are_means_over_words_whatever_the_padding(judge):
    features = judge.features(texts(ROWS))
    alone = np.concatenate([judge.features(texts([row])) for row in ROWS])
    assert features.shape == (4, 5)
    np.testing.assert_allclose(features, alone, atol=1e-12)


def test_text_of_another_tokenizer_is_encoded_again(judge):
    of_other = Sentences.of_rows([[5, 4, EOS]], train_tokenizer(["b a"]), {"tokenizer": "other"})
    ids = [*TOKENIZER.encode(of_other.texts[0]), EOS]
    (log_prob,), _ = judge.log_probs(of_other)
    assert log_prob == pytest.approx(judge.model.decoder().log_prob(torch.tensor(ids)).item())


def test_longer_text_than_the_judge_can_score_is_refused(judge):
    with pytest.raises(UserError, match="a text of 8 tokens is longer than the 7"):
        judge.log_probs(texts([[4] * 7]))


def test_a_corpus_of_ids_keeps_every_row(tmp_path):
    rows = [(4, 5), (), (6,)]
    corpus = corpus_of_ids(tmp_path, {"train": rows, "valid": rows[:1], "test": []}, TOKENIZER)
    assert [corpus.train[n].tolist() for n in range(3)] == [[4, 5, EOS], [EOS], [6, EOS]]
    assert (len(corpus.valid), len(corpus.test), corpus.max_length) == (1, 0, 3)


def test_a_trained_judge_has_learnt_its_own_sentences():
    train = texts([[4, 5, EOS]] * 60)
    settings = {"embedding_dim": 4, "hidden_dim": 16, "epochs": 5, "learning_rate": 0.1}
    judge = Judge.trained(train, train[:5], TOKENIZER, settings, max_length=9)
    log_probs, _ = judge.log_probs(texts([[4, 5, EOS], [5, 4, EOS]]))
    assert log_probs[0] > -0.5 > -3 > log_probs[1]
    assert judge.made["num_training_sentences"] == 60
    assert judge.made["settings"]["epochs"] == 5


def test_other_models_than_language_models_do_not_judge():
    with pytest.raises(UserError, match="model must be language_model"):
        judge_config({"model": "sentence_vae"})
    with pytest.raises(UserError, match="hiden_dim"):
        judge_config({"hiden_dim": 3})


class Fixed:
    """A judge with log-probabilities and features of its own choice, by the number of sentences."""

    made = {"settings": {"decoder": "lstm", "hidden_dim": 1, "epochs": 1, "seed": 0}, "run": "r"}

    def __init__(self, log_probs, tokens, features=None):
        self.numbers = np.array(log_probs), np.array(tokens)
        self.of = features

    def log_probs(self, sentences):
        log_probs, tokens = self.numbers
        return log_probs[: len(sentences)], tokens[: len(sentences)]

    def features(self, sentences):
        return self.of[: len(sentences)]


def test_perplexity_is_over_all_tokens_and_each_beside_its_ceiling():
    run = material(
        ("a", "a b"),
        ("a", "b", "c"),
        judge=Fixed([-2.0, -8.0, -5.0], [2, 3, 5]),
        judge_of_samples=Fixed([-3.0, -6.0, -9.0], [1, 2, 3]),
        judge_of_as_much_text=Fixed([-1.0, -2.0, -3.0], [1, 2, 3]),
    )
    found = by_name(Perplexity(), run)
    forward, reverse = found["forward_perplexity"], found["reverse_perplexity"]
    assert forward.value == pytest.approx(np.exp(10 / 5))
    assert forward.real == pytest.approx(np.exp(15 / 10))
    assert (reverse.value, reverse.real) == pytest.approx((np.exp(18 / 6), np.exp(6 / 6)))
    assert (forward.num_sentences, reverse.num_sentences) == (2, 3)


def test_frechet_distance_of_covariances_that_commute():
    one = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    other = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]]) + [0.0, 2.0]
    roots = np.sqrt(np.array([[8.0, 2.0], [2.0, 18.0]]) / 3)
    expected = 4.0 + ((roots[0] - roots[1]) ** 2).sum()
    assert frechet_distance(one, other) == pytest.approx(expected)
    twice = np.array([2, 1, 1, 1])
    repeated = np.concatenate([one[:1], one])
    assert frechet_distance(one, other, twice, np.ones(4, int)) == pytest.approx(
        frechet_distance(repeated, other)
    )


def test_frechet_distance_of_real_text_is_beside():
    features = np.random.default_rng(0).normal(size=(50, 3))
    text = ["a"] * 50
    run = material(text, text, judge=Fixed([0.0], [1], features), other_real=material(text).samples)
    (found,) = Frechet().measure(run)
    assert found.value == pytest.approx(0.0, abs=1e-9)
    assert found.real == pytest.approx(0.0, abs=1e-9)
    assert found.interval[1] > 0
