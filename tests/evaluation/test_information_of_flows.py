# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro
import pytest
import torch

from pyro_textvae.evaluation import information
from pyro_textvae.guides import InverseAutoregressiveFlowGuide, SplineFlowGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal

COUNT = 100


@pytest.mark.parametrize("kind", [InverseAutoregressiveFlowGuide, SplineFlowGuide])
def test_collapsed_flow_has_no_active_unit(kind, tokens):
    """All parameters zero: every posterior is N(0, I), and a mean of 100 draws varies by 0.01.

    Without that noise the variance over 100 sentences is 0 +- 0.01 sqrt(2 / 99), clamped at 0.
    """
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    guide = kind(encoder=encoder, latent_dim=12).double()
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.zero_()
    decoder = LSTMDecoder(vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=12, max_length=6)
    model = SentenceVAE(prior=StandardNormal(12), decoder=decoder).double()
    batches = [{"tokens": tokens.repeat(COUNT // 4, 1)}]
    found = information(model, guide, batches, num_draws=1, total_correlation=False)
    assert found.active_units == 0
    assert found.unit_variance.max() < 4.5 * 0.01 * math.sqrt(2 / (COUNT - 1))


@pytest.mark.parametrize("kind", [InverseAutoregressiveFlowGuide, SplineFlowGuide])
def test_some_of_the_draws_estimate_what_all_of_them_do(kind):
    """200 sentences, 60 of their draws against all 200: |z| < 4.5 in the error of the 60."""
    pyro.set_rng_seed(1)
    encoder = LSTMEncoder(vocab_size=30, embedding_dim=6, hidden_dim=8)
    guide = kind(encoder=encoder, latent_dim=3).double()
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.mul_(6.0)
    decoder = LSTMDecoder(vocab_size=30, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=6)
    model = SentenceVAE(prior=StandardNormal(3), decoder=decoder).double()
    tokens = torch.randint(4, 30, (200, 4))
    tokens[:, -1] = 2
    batches = [{"tokens": tokens}]
    all_of_them = information(model, guide, batches, num_draws=1)
    some = information(model, guide, batches, costly_pairs=60 * 200)
    none = information(model, guide, batches, costly_pairs=0)
    assert none.mutual_information is None
    off = some.mutual_information - all_of_them.mutual_information
    assert 0 < abs(off) < 4.5 * some.mutual_information_standard_error
    assert some.mutual_information_standard_error < 0.4 * some.mutual_information
    assert some.kl == pytest.approx(none.kl, rel=1e-9)
