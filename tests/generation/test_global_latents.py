# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences by one draw of what is global: from the guide, from the prior, or as it is given."""

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.generation import encode, interpolate, reconstruct, sample
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import GRUDecoder
from pyro_textvae.priors import StandardNormal
from tests.programs.bayesian_bias import BIAS, SIZES, bayesian_bias

TOKENS = torch.tensor([[4, 5, 2], [6, 2, 0]])


def only_word(word):
    """A bias by which every word is this one."""
    bias = torch.full((7,), -1e3)
    bias[word - 2] = 1e3
    return bias


@pytest.fixture
def pair():
    """A pair whose guide knows the bias: it makes every word 7."""
    model, guide = bayesian_bias(latent=True)
    guide.loc.data, guide.log_scale.data = only_word(7), torch.full((7,), -9.0)
    return model, guide


@pytest.mark.parametrize("size", [3, 1500])
def test_sample_draws_it_once_from_the_guide_or_the_prior(pair, size):
    model, guide = pair
    assert (sample(model, size, guide=guide) == 7).all()
    assert (sample(model, size, latents={BIAS: only_word(5)}) == 5).all()
    assert (sample(model, size, guide=guide, latents={BIAS: only_word(5)}) == 5).all()
    assert sample(model, size).unique().numel() > 1


def test_parts_of_a_call_share_the_draw_from_the_prior():
    """The first thousand sentences and the others are of one bias: their ends are alike."""
    model, _ = bayesian_bias(latent=True)
    ended = [(sample(model, 2000, seed=seed)[:, 0] == 2).double() for seed in range(6)]
    shares = torch.stack([torch.stack([e[:1000].mean(), e[1000:].mean()]) for e in ended])
    within = (shares[:, 0] - shares[:, 1]).abs().max()
    assert within < 0.1
    assert shares[:, 0].max() - shares[:, 0].min() > 0.1


def test_sentences_of_others_are_decoded_with_the_guides_draw(pair):
    model, guide = pair
    batch = {"tokens": TOKENS}
    assert set(encode(guide, batch)) == {"z"}
    for method in ("greedy", "ancestral"):
        assert (reconstruct(model, guide, batch, method=method) == 7).all()
        assert (interpolate(model, guide, batch, method=method, steps=3) == 7).all()


def test_nothing_to_encode_but_what_is_global():
    model, guide = bayesian_bias(latent=False)
    with pytest.raises(UserError, match="the model has no latent of its sentences, so"):
        reconstruct(model, guide, {"tokens": TOKENS})
    assert sample(model, 4, guide=guide).shape == (4, 6)


def test_guide_of_a_model_without_global_latents_changes_nothing():
    torch.manual_seed(0)
    model = SentenceVAE(StandardNormal(2), GRUDecoder(**SIZES, latent_dim=2, max_length=6))
    _, guide = bayesian_bias(latent=True)
    before = torch.get_rng_state()
    assert torch.equal(sample(model, 5), sample(model, 5, guide=guide.other))
    assert torch.equal(torch.get_rng_state(), before)
