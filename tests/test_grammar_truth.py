# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A language whose entropy is known: no honest likelihood is better than the truth."""

import pytest
import torch

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.runs.load import load_corpus_of, load_run
from pyro_textvae.runs.train import train


def fit(folder, config, num_samples):
    """Train, and score the test split by the model and by the grammar itself."""
    train(config, folder, report=lambda line: None)
    model, guide, tokenizer = load_run(folder)
    corpus = load_corpus_of(config)
    batches = corpus.batches("test", 64, shuffle=False)
    result = log_likelihood(model, guide, batches, num_samples)
    sentences = [tokenizer.decode(row.tolist()).split() for row in corpus.test]
    truth = torch.tensor([corpus.grammar.log_prob(w) for w in sentences], dtype=torch.float64)
    excess = truth - result.log_px
    return result, corpus.grammar.entropy, excess, excess.std().item() / len(excess) ** 0.5


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
    _, entropy, excess, error = fit(tmp_path / "run", config, num_samples=1)
    assert -3 * error < excess.mean().item() < 0.02 * entropy


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
        batch_size=64,
        learning_rate=0.008,
        device="cpu",
    )
    result, entropy, excess, error = fit(tmp_path / "run", config, num_samples=10)
    # Against the entropy, and sentence by sentence, where the noise of the test set cancels.
    assert result.nll > entropy - 3 * result.nll_sampling_error
    assert excess.mean().item() > -3 * error
    # Close to the truth, or the test would pass for any model at all.
    assert excess.mean().item() < 0.1 * entropy
