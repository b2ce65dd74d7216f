# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The conditional VAE of the catalogue: every proposal against quadrature over two latents."""

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.conditional_priors import ConditionalGaussian
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.generation import sample
from pyro_textvae.generation.read_once import equal_sources_read_once
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import ConditionalVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder, TextAndSourceEncoder
from tests.programs.pairs import TEXT_AND_SOURCE

SIZES = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 6}


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    encoders = [BagOfWordsEncoder(**SIZES) for _ in range(3)]
    decoder = GRUDecoder(**SIZES, latent_dim=2, max_length=12, memory_dim=4, copying=True)
    model = ConditionalVAE(encoders[0], ConditionalGaussian(6, 2), decoder)
    guide = GaussianGuide(TextAndSourceEncoder(*encoders[1:]), latent_dim=2)
    for program in (model, guide):
        for parameter in program.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return model.double().eval(), guide.double().eval()


def exact_log_px(model):
    """log p(x | source) by the trapezoid rule over the square of two latents."""
    points = torch.linspace(-9.0, 9.0, 181, dtype=torch.float64)
    grid = torch.cartesian_prod(points, points).unsqueeze(1)
    with torch.no_grad():
        memory, features = model.source_encoder.read(TEXT_AND_SOURCE["source"])
        log_joint = model.conditional_prior(features).log_prob(grid)
        log_joint = log_joint + model.decoder(grid.expand(-1, 4, -1), memory).log_prob(
            TEXT_AND_SOURCE["tokens"]
        )
        return log_joint.logsumexp(0) + 2 * (points[1] - points[0]).log()


@pytest.mark.parametrize("name", sorted({*zoo.names("proposals")} - {"sequential"}))
def test_every_proposal_finds_log_p_of_the_text_given_its_source(pair, name):
    """|z| < 4.5 for each of four texts fails once in 37,000 seeds."""
    found = log_likelihood(*pair, [TEXT_AND_SOURCE], 1000, proposal=zoo.load("proposals", name)())
    errors = (found.log_px - exact_log_px(pair[0])) / found.standard_error
    assert errors.abs().max() < 4.5
    assert found.standard_error.max() < 0.1


def test_a_source_is_read_no_more_often_for_more_draws(pair):
    model, guide = pair
    read = []
    hook = model.source_encoder.embedding.register_forward_hook(
        lambda _, given, out: read.append(tuple(out.shape))
    )
    counts = []
    try:
        for num_draws in (2, 64):
            read.clear()
            log_likelihood(model, guide, [TEXT_AND_SOURCE], num_draws)
            counts.append(len(read))
            assert set(read) == {(*TEXT_AND_SOURCE["source"].shape, 4)}
    finally:
        hook.remove()
    assert counts[0] == counts[1]


def test_texts_for_a_source_read_it_once(pair):
    """Sixteen draws for each of three sources, of which the encoder sees three rows."""
    model, _ = pair
    read = []
    hook = model.source_encoder.embedding.register_forward_hook(
        lambda _, given, out: read.append(tuple(out.shape[:2]))
    )
    source = TEXT_AND_SOURCE["source"][:3]
    try:
        together = sample(model, {"source": source.repeat_interleave(16, 0)}, seed=1)
        assert read == [(3, 3)]
        sample(model, {"source": source}, seed=1)
        assert read == [(3, 3)] * 2
    finally:
        hook.remove()
    assert together.shape == (48, 12)
    assert len(together.unique(dim=0)) > 24
    assert "read" not in model.source_encoder.__dict__


def test_latents_of_a_source_are_those_of_its_own_prior(pair):
    """Of rows in any order, greedy texts at one latent each are those of each source alone."""
    model, _ = pair
    rows = torch.tensor([2, 0, 0, 1, 2, 2])
    latents = {"z": torch.randn(6, 2).double()}
    source = TEXT_AND_SOURCE["source"]
    together = sample(model, {"source": source[rows]}, method="greedy", latents=latents)
    for number, row in enumerate(rows.tolist()):
        alone = sample(
            model,
            {"source": source[row : row + 1]},
            method="greedy",
            latents={"z": latents["z"][number : number + 1]},
        )
        assert torch.equal(alone[0], together[number])
    with equal_sources_read_once(model), torch.no_grad():
        memory, features = model.source_encoder.read(source[rows])
    of_each, features_of_each = model.source_encoder.read(source)
    assert torch.allclose(features, features_of_each[rows], atol=1e-12)
    assert torch.allclose(memory.states, of_each.states[rows], atol=1e-12)
