# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every member of the zoo is put to the contract, by existing."""

import pyro
import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.runs.build import build_pair, specs_of
from pyro_textvae.testing import check_guide, check_model

SIZES = {"vocab_size": 11, "max_length": 9, "num_labels": 4, "max_sentences": 3}
CONDITION = {"source": torch.tensor([[4, 5, 10, 2], [6, 2, 0, 0], [7, 2, 0, 0]])}
MODELS = {
    "empty": "language_model",
    "dialogue": "dialogue_vae",
    "document": "document_vae",
    "labelled": "labelled_vae",
    "noisy_channel": "noisy_channel",
    "paraphrase": "paraphrase_vae",
    "topic": "topic_model",
    "topic_sentence": "topic_sentence_vae",
}
"""What a guide is of, where that is no sentence VAE."""
OF_A_FORM = ("poem_vae",)
"""Models whose source is no text: tests/models puts them to the contract."""
OF_A_SOURCE = ("dialogue", "noisy_channel", "paraphrase")


def build(model="sentence_vae", guide=None, **others):
    config = TrainConfig(embedding_dim=4, hidden_dim=8, latent_dim=3, model=model, guide=guide)
    specs = {**specs_of(config), **others}
    pair = build_pair(config, SIZES, specs=specs, condition=CONDITION)
    return pair.model, pair.guide


@pytest.mark.parametrize("name", sorted({*zoo.names("models")} - {*OF_A_FORM}))
def test_model(name):
    model, _ = build(name)
    check_model(model, condition=CONDITION)


@pytest.mark.parametrize("name", zoo.names("conditional_priors"))
def test_conditional_prior(name):
    model, guide = build("conditional_vae", "gaussian", conditional_prior=name)
    check_model(model, condition=CONDITION)
    check_guide(guide, model, condition=CONDITION)


@pytest.mark.parametrize("name", zoo.names("guides"))
def test_guide_of_a_source(name):
    """Every family reads the source too, beside the sentence."""
    of_others = ("empty", "labelled", "document", "topic", "topic_sentence", *OF_A_SOURCE)
    if name in ("power_spherical", "von_mises_fisher", "product_space", *of_others):
        return
    model, guide = build("conditional_vae", name)
    check_guide(guide, model, condition=CONDITION)
    fields = CONDITION | {"tokens": torch.tensor([[4, 2], [5, 2], [6, 2]])}
    with pyro.validation_enabled(False):
        torch.manual_seed(0)
        first = guide(**fields)
        torch.manual_seed(0)
        other = guide(**fields | {"source": fields["source"].flip(0)})
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", zoo.names("guides"))
def test_guide(name):
    """With a prior of the guide's own support: it must keep the contract with at least one."""
    refused = []
    condition = {"condition": CONDITION}
    priors = zoo.names("priors")[: 1 if name in OF_A_SOURCE else None]
    for prior in priors:
        try:
            model, guide = build(MODELS.get(name, "sentence_vae"), name, prior=prior)
            check_guide(guide, model, **(condition if name in OF_A_SOURCE else {}))
        except UserError as error:
            refused.append(str(error))
    assert len(refused) < len(priors), refused
    reasons = (" has support ", "components of VampPrior")
    assert all(any(reason in each for reason in reasons) for each in refused), refused


@pytest.mark.parametrize("kind", ["prior", "decoder"])
def test_part_of_a_model(kind):
    for name in zoo.names(f"{kind}s"):
        model, _ = build(**{kind: name})
        check_model(model)


def test_encoder():
    for name in zoo.names("encoders"):
        model, guide = build(encoder=name)
        check_guide(guide, model)


@pytest.mark.parametrize("name", zoo.names("objectives"))
def test_objective_gives_every_parameter_a_gradient(name):
    model, guide = build()
    tokens = torch.tensor([[4, 5, 10, 2], [6, 2, 0, 0]])
    loss = zoo.load("objectives", name)()(model, guide)(tokens=tokens)
    loss.backward()
    assert loss.isfinite()
    for name, parameter in (*model.named_parameters(), *guide.named_parameters()):
        assert parameter.grad.abs().sum() > 0, name
