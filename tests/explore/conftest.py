# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A small collection of made-up sentences under an untrained model."""

import pytest
import torch

from pyro_textvae.data import train_tokenizer
from pyro_textvae.explore import Collection
from pyro_textvae.explore.likelihoods import Likelihoods
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.infer.batches import Fields
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import EOS

HOSTILE = [
    "<script>window.hacked=1</script> \"quoted\" 'single' &amp; </script>",
    "<img src=x onerror=window.hacked=2> $$x^2$$ `tick` {{7*7}} @text %",
]
SENTENCES = [
    f"the {animal} {verb} in the {place}"
    for animal in ("cat", "dog", "bird", "fox")
    for verb in ("sat", "ran", "sang")
    for place in ("mat", "sun", "box")
]


def make_collection(texts, title="toy", **arguments):
    """The texts under a model of two dimensions with weights from a fixed seed."""
    tokenizer = train_tokenizer(texts)
    sizes = {"vocab_size": len(tokenizer), "embedding_dim": 8, "hidden_dim": 12}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        decoder = LSTMDecoder(**sizes, latent_dim=3, max_length=12)
        model = SentenceVAE(StandardNormal(3), decoder).eval()
        guide = GaussianGuide(LSTMEncoder(**sizes), 3).eval()
        with torch.no_grad():
            # Far apart, so that the decoder says different things of them.
            for parameter in (*model.parameters(), *guide.parameters()):
                parameter.mul_(4.0)
    rows = [Fields({"tokens": torch.tensor([[*tokenizer.encode(t), EOS]])}) for t in texts]
    for row, label in zip(rows, arguments.pop("labels", []), strict=False):
        row["labels"] = torch.tensor([label])
    arguments = {"num_clusters": 3, "max_length": 12} | arguments
    return Collection(title, model, guide, tokenizer, rows, **arguments)


@pytest.fixture(scope="session")
def collection():
    """36 sentences and two hostile ones, with labels, the last of which is not given."""
    texts = [*SENTENCES, *HOSTILE]
    likelihoods = Likelihoods(
        torch.linspace(5.0, 9.0, len(texts)).double().numpy(), "nll of the run's evaluation"
    )
    labels = [number % 2 for number in range(len(texts) - 1)] + [-1]
    return make_collection(
        texts,
        title="toy <b>bold</b> & co",
        labels=labels,
        label_names=("<i>good</i>", "bad"),
        likelihoods=likelihoods,
    )
