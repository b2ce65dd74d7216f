# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A language whose entropy is known: no honest likelihood is better than the truth."""

import pytest
import torch

from pyro_textvae.config import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.runs import load_run, train


@pytest.mark.slow
def test_long_training_comes_to_within_two_percent_of_the_truth(tmp_path):
    config = TrainConfig(
        data="grammar",
        model="language_model",
        embedding_dim=64,
        hidden_dim=128,
        embedding_dropout=0.0,
        output_dropout=0.1,
        epochs=12,
        learning_rate=0.002,
        device="cpu",
    )
    train(config, tmp_path / "run", report=lambda line: None)
    fitted, guide, tokenizer = load_run(tmp_path / "run")
    corpus = load_corpus("grammar")
    result = log_likelihood(fitted, guide, corpus.batches("test", 64, shuffle=False), 1)
    truth = torch.tensor(
        [corpus.grammar.log_prob(tokenizer.decode(row.tolist()).split()) for row in corpus.test]
    ).double()
    excess = truth - result.log_px
    error = excess.std().item() / len(excess) ** 0.5
    assert -3 * error < excess.mean().item() < 0.02 * corpus.grammar.entropy


@pytest.mark.parametrize("model", ["language_model", "sentence_vae"])
def test_trained_model_is_never_better_than_the_grammar(tmp_path, model):
    config = TrainConfig(
        data="grammar",
        num_sentences=8000,
        model=model,
        embedding_dim=32,
        hidden_dim=64,
        latent_dim=4,
        embedding_dropout=0.0,
        output_dropout=0.0,
        epochs=3,
        kl_epochs=1.0,
        learning_rate=0.004,
        device="cpu",
    )
    train(config, tmp_path / "run", report=lambda line: None)
    fitted, guide, tokenizer = load_run(tmp_path / "run")
    corpus = load_corpus("grammar", num_sentences=8000)
    batches = corpus.batches("test", 64, shuffle=False)
    result = log_likelihood(fitted, guide, batches, num_samples=30)
    truth = torch.tensor(
        [corpus.grammar.log_prob(tokenizer.decode(row.tolist()).split()) for row in corpus.test],
        dtype=torch.float64,
    )
    # Against the entropy, and sentence by sentence, where the noise of the test set cancels.
    assert result.nll > corpus.grammar.entropy - 3 * result.nll_sampling_error
    excess = truth - result.log_px
    error = excess.std().item() / len(excess) ** 0.5
    assert excess.mean().item() > -3 * error
    # Close to the truth, or the test would pass for any model at all.
    assert excess.mean().item() < 0.1 * corpus.grammar.entropy
