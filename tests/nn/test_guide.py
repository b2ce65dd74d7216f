# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The base of every guide of one latent vector."""

import importlib
from inspect import signature

import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

import pyro_textvae.nn
from pyro_textvae import zoo
from pyro_textvae.nn import BagOfWordsEncoder, Guide
from pyro_textvae.nn.decoders import LSTMDecoder
from pyro_textvae.nn.inverse_softplus import inverse_softplus
from tests.guides_of_sentences import GUIDES_OF_SENTENCES

ENCODER = {"vocab_size": 7, "embedding_dim": 3, "hidden_dim": 8}


class UnitGuide(Guide):
    def __init__(self, encoder):
        super().__init__(encoder)
        self.loc = torch.nn.Linear(encoder.output_dim, 2)

    def posterior(self, features):
        return dist.Normal(self.loc(features), 1.0).to_event(1)


def test_draw_is_at_z_in_the_plate_data(tokens):
    guide = UnitGuide(BagOfWordsEncoder(**ENCODER))
    trace = poutine.trace(guide).get_trace(tokens)
    (frame,) = trace.nodes["z"]["cond_indep_stack"]
    assert (frame.name, frame.size) == ("data", 4)
    assert torch.equal(trace.nodes["z"]["fn"].mean, guide.loc(guide.encoder(tokens)))
    assert list(guide.state_dict()) == [
        *("encoder." + name for name in guide.encoder.state_dict()),
        "loc.weight",
        "loc.bias",
    ]


def test_guide_without_a_posterior_is_refused():
    class Nothing(Guide):
        pass

    with pytest.raises(TypeError, match=r"Nothing does not say .*define posterior\(features\)"):
        Nothing(BagOfWordsEncoder(**ENCODER))


@pytest.mark.parametrize("name", zoo.names("guides"))
def test_guides_of_the_catalogue_have_one_forward(name):
    """But those that take something else beside a text."""
    guide = zoo.load("guides", name)
    takes_a_text_alone = signature(guide.forward) == signature(Guide.forward)
    if issubclass(guide, Guide) and takes_a_text_alone:
        assert guide.forward is Guide.forward
    assert ("gaussian" in GUIDES_OF_SENTENCES) > ("labelled" in GUIDES_OF_SENTENCES)


@pytest.mark.parametrize("value", [1e-8, 0.3, 1.0, 20 / 3, 50.0, 1000.0])
def test_inverse_softplus(value):
    start = torch.tensor(inverse_softplus(value), dtype=torch.float64)
    softplus = torch.where(start > 0, start, 0.0) + torch.log1p(torch.exp(-start.abs()))
    assert softplus.item() == pytest.approx(value, rel=1e-14)


def test_inverse_softplus_of_one_is_what_runs_have_started_from():
    assert torch.tensor(inverse_softplus(1.0)).item() == 0.5413248538970947


@pytest.mark.parametrize("name", ["full_covariance", "low_rank"])
def test_scale_behind_softplus_starts_at_one(name):
    guide = zoo.load("guides", name)(BagOfWordsEncoder(**ENCODER), latent_dim=3)
    for part in (guide.scale, getattr(guide, "directions", None) or guide.below_diagonal):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    variance = guide.posterior(torch.zeros(1, 8)).variance
    torch.testing.assert_close(variance, torch.ones(1, 3), rtol=0, atol=3e-5)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_what_softplus_never_is_has_no_inverse(value):
    with pytest.raises(ValueError, match=f"never {value}"):
        inverse_softplus(value)


@pytest.mark.parametrize("folder", ["decoders", "encoders"])
def test_one_export_line_makes_a_new_member_importable(folder, monkeypatch):
    members = importlib.import_module(f"pyro_textvae.nn.{folder}")
    monkeypatch.setattr(members, "NewMember", LSTMDecoder, raising=False)
    monkeypatch.setattr(members, "__all__", [*members.__all__, "NewMember"])
    try:
        nn = importlib.reload(pyro_textvae.nn)
        assert nn.NewMember is LSTMDecoder
        assert "NewMember" in nn.__all__
        assert nn.LSTMDecoder is LSTMDecoder
    finally:
        monkeypatch.undo()
        vars(pyro_textvae.nn).pop("NewMember", None)
        importlib.reload(pyro_textvae.nn)
