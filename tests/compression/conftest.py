# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pytest
import torch

from pyro_textvae.data import train_tokenizer
from pyro_textvae.guides import EmptyGuide, GaussianGuide
from pyro_textvae.models import LanguageModel, SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal

SENTENCES = [
    f"the {animal} {verb} in the {place}"
    for animal in ("cat", "dog", "bird", "fox")
    for verb in ("sat", "ran", "sang", "slept")
    for place in ("mat", "sun", "box")
]
TEXT = "".join(f"{sentence}\n" for sentence in SENTENCES).encode()


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(SENTENCES)


@pytest.fixture(scope="module")
def programs(tokenizer):
    """A sentence VAE and its guide, whose posteriors are not the prior."""
    pyro.set_rng_seed(0)
    sizes = {"vocab_size": len(tokenizer), "embedding_dim": 5, "hidden_dim": 7}
    model = SentenceVAE(StandardNormal(3), LSTMDecoder(**sizes, latent_dim=3, max_length=9))
    guide = GaussianGuide(LSTMEncoder(**sizes), 3)
    with torch.no_grad():
        for parameter in (*model.parameters(), *guide.parameters()):
            parameter.mul_(4.0)
    return model, guide


@pytest.fixture(scope="module")
def language_model(tokenizer):
    pyro.set_rng_seed(0)
    sizes = {"vocab_size": len(tokenizer), "embedding_dim": 5, "hidden_dim": 7}
    return LanguageModel(LSTMDecoder(**sizes, latent_dim=0, max_length=9)), EmptyGuide()
