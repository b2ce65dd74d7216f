# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every prior with every guide: what is sound runs, and the rest is refused with the reason."""

import pyro
import pytest
import torch
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.infer import BetaELBO
from pyro_textvae.runs.build import build_pair
from pyro_textvae.testing import check_pair
from tests.guides_of_sentences import GUIDES_OF_SENTENCES

# Where z lies; every other member is over vectors of real numbers.
OF_PRIOR = {"uniform_sphere": "sphere", "product_space": "product"}
OF_GUIDE = {
    "empty": "nowhere",
    "power_spherical": "sphere",
    "product_space": "product",
    "von_mises_fisher": "sphere",
}


SIZES = {"vocab_size": 11, "max_length": 9}
BATCH = {"tokens": torch.tensor([[4, 5, 10, 2], [6, 7, 2, 0], [8, 2, 0, 0], [9, 3, 4, 2]])}


def train_one_step(prior, guide):
    config = TrainConfig(embedding_dim=4, hidden_dim=5, latent_dim=3, guide=guide, prior=prior)
    with pyro.settings.context(module_local_params=True):
        pyro.set_rng_seed(0)
        pair = build_pair(config, SIZES)
        model, guide = pair.model, pair.guide
        check_pair(model, guide, BetaELBO(), BATCH)
        modules = nn.ModuleDict({"model": model, "guide": guide})
        optimizer = torch.optim.Adam(modules.parameters(), 1e-2)
        before = [parameter.detach().clone() for parameter in modules.parameters()]
        loss = BetaELBO()(model, guide)(**BATCH)
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
        for (name, parameter), old in zip(modules.named_parameters(), before, strict=True):
            assert parameter.isfinite().all(), name
            assert not parameter.equal(old), name
        return model


def reason_against(prior, guide):
    if prior == "vamp_prior":
        reasons = {
            "empty": "EmptyGuide has no 'encoder'",
            "delta": "DeltaGuide gives .* no density",
        }
        return reasons.get(guide)
    one, other = OF_PRIOR.get(prior, "real"), OF_GUIDE.get(guide, "real")
    if other == "nowhere":
        return "the model's latent sites are z, the guide's none"
    return None if one == other else "latent site 'z' has support .* pair a prior and a guide of"


@pytest.mark.parametrize("guide", GUIDES_OF_SENTENCES)
def test_table(guide):
    for prior in zoo.names("priors"):
        reason = reason_against(prior, guide)
        if reason is None:
            train_one_step(prior, guide)
        else:
            with pytest.raises(UserError, match=reason):
                train_one_step(prior, guide)


def test_default_guide_of_a_tied_prior():
    model = train_one_step("vamp_prior", None)
    assert model.prior().components.event_shape == (3,)
