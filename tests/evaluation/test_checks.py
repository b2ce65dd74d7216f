# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json
import math

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.checks import check
from pyro_textvae.guides import EmptyGuide, PowerSphericalGuide
from pyro_textvae.models import LanguageModel, SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import UniformSphere


@pytest.fixture
def short(monkeypatch):
    """Annealing of a few temperatures: what it finds is not the point here."""
    for place in ("check", "bidirectional"):
        monkeypatch.setattr(
            f"pyro_textvae.evaluation.annealing.{place}.AnnealingSettings",
            lambda: AnnealingSettings(num_chains=2, num_temperatures=10, leapfrog_steps=1),
        )


def test_check_has_all_its_parts_in_plain_values(pair, tokens, short):
    batches = [{"tokens": tokens}]
    likelihood = log_likelihood(*pair, batches, 200)
    found = check(*pair, batches, likelihood, seed=0, max_tokens=None, progress=False)
    json.dumps(found)
    assert found["left_out"] == []
    assert found["annealing"]["random"]["num_sentences"] == 4
    assert found["annealing"]["checked"] == likelihood.log_px.tolist()
    assert found["bidirectional"]["num_sentences"] == 24
    gaps = found["gaps"]
    whole = gaps["amortisation_gap"] + gaps["approximation_gap"]
    assert whole == pytest.approx(found["annealing"]["inference_gap"])
    names = [row["proposal"] for row in found["proposals"]]
    elsewhere = ("guide", "sequential")
    assert names == ["guide", *(name for name in zoo.names("proposals") if name not in elsewhere)]
    # Nothing is observed beside the text, so that there is no other nll than its own.
    assert not any("nll_joint" in row for row in found["proposals"])
    row = dict(zip(names, found["proposals"], strict=True))
    guide, refined = row["guide"], row["refined"]
    assert guide["nll"] == pytest.approx(likelihood.nll)
    assert guide["decoder_evaluations"] == 4 * 200
    assert refined["decoder_evaluations"] == 4 * (200 + 15 * 4 * 3)
    for other in row.values():
        error = math.hypot(guide["nll_standard_error"], other["nll_standard_error"])
        assert abs(other["nll"] - guide["nll"]) <= 4.5 * error
    sandwich = found["annealing"]["sandwich"]
    upper = found["annealing"]["upper"]
    assert sum(upper) / 4 == pytest.approx(sandwich["upper"])
    assert len(found["annealing"]["upper_error"]) == 4
    assert sandwich["num_sentences"] == 4
    assert sandwich["num_closed"] + len(sandwich["not_closed"]) == 4


def test_exact_likelihood_needs_no_check(tokens):
    decoder = LSTMDecoder(vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=6)
    model = LanguageModel(decoder=decoder)
    batches = [{"tokens": tokens}]
    likelihood = log_likelihood(model, EmptyGuide(), batches, 5)
    found = check(model, EmptyGuide(), batches, likelihood, seed=0, max_tokens=None)
    assert list(found) == ["left_out"]
    assert "exact" in found["left_out"][0]


def test_sphere_is_checked_like_any_other_latent(tokens, short):
    decoder = LSTMDecoder(vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=6)
    model = SentenceVAE(prior=UniformSphere(3), decoder=decoder).eval()
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    guide = PowerSphericalGuide(encoder=encoder, latent_dim=3).eval()
    batches = [{"tokens": tokens}]
    likelihood = log_likelihood(model, guide, batches, 50)
    found = check(model, guide, batches, likelihood, seed=0, max_tokens=None, progress=False)
    assert found["left_out"] == []
    assert found["annealing"]["sandwich"]["num_sentences"] == 4
    assert found["bidirectional"]["num_sentences"] == 24
    assert found["gaps"]["num_sentences"] == 4
    assert len(found["proposals"]) == len(set(zoo.names("proposals")) - {"sequential"})
    assert torch.tensor([row["nll"] for row in found["proposals"]]).isfinite().all()


def test_proposal_that_so_few_draws_are_not_enough_for_is_left_out_and_named(pair, tokens, short):
    batches = [{"tokens": tokens}]
    likelihood = log_likelihood(*pair, batches, 9)
    found = check(*pair, batches, likelihood, seed=0, max_tokens=None, progress=False)
    assert "auto" not in [row["proposal"] for row in found["proposals"]]
    (reason,) = found["left_out"]
    assert reason.startswith("the auto proposal needs num_samples of at least 10")
