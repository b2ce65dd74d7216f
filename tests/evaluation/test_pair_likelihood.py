# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The paraphrase VAE against integrals over its three latents, and texts drawn given a source."""

import copy

import pytest
import torch

from pyro_textvae.data import Batch
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.pair_likelihood import PairLikelihood
from pyro_textvae.evaluation.proposals import RefinedProposal
from pyro_textvae.generation import reconstruct, sample
from pyro_textvae.generation.given_source import latents_given_source
from pyro_textvae.guides import ParaphraseGuide
from pyro_textvae.models import ParaphraseVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import EOS
from pyro_textvae.testing import check_guide, check_model
from tests.nn.test_source import all_rows

PAIRS = {
    "tokens": torch.tensor([[3, 4, EOS], [EOS, 0, 0], [5, 3, EOS]]),
    "source": torch.tensor([[4, 4, 5, 3, EOS], [3, EOS, 0, 0, 0], [5, EOS, 0, 0, 0]]),
}
POINTS = torch.linspace(-8.0, 8.0, 65, dtype=torch.float64)


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(2)
    sizes = {"vocab_size": 6, "embedding_dim": 3, "hidden_dim": 5}
    decoder = GRUDecoder(**sizes, latent_dim=2, max_length=3)
    model = ParaphraseVAE(StandardNormal(1), decoder, form_dim=1)
    guide = ParaphraseGuide(BagOfWordsEncoder(**sizes), latent_dim=1, form_dim=1)
    for program, spread in ((model, 0.9), (guide, 0.3)):
        for parameter in program.parameters():
            torch.nn.init.normal_(parameter, std=spread)
    return model.double().eval(), guide.double().eval()


@torch.no_grad()
def log_p_given_meaning(model, rows):
    """log p(row | m) on the grid of m ``(M, N)``, the form integrated by the trapezoid rule."""
    grid = torch.cartesian_prod(POINTS, POINTS).unsqueeze(1)
    log_p = model.text(grid[..., :1], grid[..., 1:], rows).log_prob(rows)
    log_p = log_p + model.form_prior().log_prob(grid[..., 1:])
    return log_p.unflatten(0, (len(POINTS), -1)).logsumexp(1) + (POINTS[1] - POINTS[0]).log()


@torch.no_grad()
def integral_over_meaning(model, log_p):
    log_prior = model.prior().log_prob(POINTS.unsqueeze(-1)).unsqueeze(-1)
    return (log_p + log_prior).logsumexp(0) + (POINTS[1] - POINTS[0]).log()


def exact(model, pairs=PAIRS):
    """log p(x, s), log p(s) and log p(x) of each pair."""
    text = log_p_given_meaning(model, pairs["tokens"])
    source = log_p_given_meaning(model, pairs["source"])
    return tuple(integral_over_meaning(model, each) for each in (text + source, source, text))


@pytest.mark.parametrize("proposal", [None, RefinedProposal()])
def test_each_likelihood_is_that_of_quadrature(pair, proposal):
    """|z| < 4.5 for each of nine estimates."""
    settings = {"num_samples": 2000, "proposal": proposal}
    # The second batch in another place than in the corpus.
    order = torch.tensor([2, 0, 1])
    batches = [Batch({name: rows[order] for name, rows in PAIRS.items()}, order)]
    joint = log_likelihood(*pair, batches, **settings)
    result = PairLikelihood.of(joint, *pair, lambda: batches, **settings)
    for found, truth in zip((joint, result.source, result.text), exact(pair[0]), strict=True):
        errors = (found.log_px - truth) / found.standard_error
        assert errors.abs().max() < 4.5
        assert found.standard_error.max() < 0.1
    of_pair, of_source, of_text = exact(pair[0])
    assert (result.log_px_given_source - (of_pair - of_source)).abs().max() < 0.3
    values = result.to_dict()
    assert values["nll_source_given_text"] == pytest.approx(
        -(of_pair - of_text).mean().item(), abs=0.2
    )
    assert values["nll_given_source"] == pytest.approx(values_of(joint) - values["nll_source"])
    error = (joint.nll_standard_error**2 + result.source.nll_standard_error**2) ** 0.5
    assert values["nll_given_source_standard_error"] == pytest.approx(error)
    # The two say different things of these sentences.
    assert abs(values["nll_given_source"] - values["nll_text"]) > 0.01


def values_of(joint):
    assert joint.beside_text == ("source",)
    return joint.nll_joint


def test_probabilities_of_all_texts_given_a_source_sum_to_one(pair):
    """By quadrature on the same grid, so to rounding."""
    rows = all_rows(6, 3)
    text = log_p_given_meaning(pair[0], rows)
    source = log_p_given_meaning(pair[0], PAIRS["source"][:1])
    joint = integral_over_meaning(pair[0], text + source)
    total = joint.logsumexp(0) - integral_over_meaning(pair[0], source)
    assert total.abs() < 1e-10


def test_texts_for_a_source_are_draws_given_it(pair):
    """First words of 4,000 texts against p(x | s); of a prior's draws they would be others."""
    model, guide = pair[0], copy.deepcopy(pair[1])
    with torch.no_grad():
        # A guide that is far off, so that its density counts in the weights.
        guide.expert.bias.copy_(torch.tensor([1.5, 0.5]))
    source = PAIRS["source"][:1]
    rows = all_rows(6, 3)
    text = log_p_given_meaning(model, rows)
    of_source = log_p_given_meaning(model, source)
    log_p = integral_over_meaning(model, text + of_source) - integral_over_meaning(model, of_source)
    alone = integral_over_meaning(model, text)
    drawn = sample(model, {"source": source.expand(4000, -1)}, guide=guide, seed=1)
    scores = []
    for word in range(2, 6):
        share, others = (p.exp()[rows[:, 0] == word].sum().item() for p in (log_p, alone))
        found = (drawn[:, 0] == word).double().mean().item()
        scores.append(((found - share) / (share * (1 - share) / 4000) ** 0.5, share - others))
    assert max(abs(z) for z, _ in scores) < 4.5
    assert max(abs(difference) for _, difference in scores) > 0.1
    with pytest.raises(UserError, match="ParaphraseVAE draws its source too, so"):
        sample(model, {"source": source})


def test_equal_sources_have_draws_of_their_own_and_are_read_once(pair):
    model, guide = pair
    read = []
    hook = guide.encoder.embedding.register_forward_hook(
        lambda _, given, out: read.append(len(out))
    )
    try:
        source = PAIRS["source"][[0, 1, 0, 0]]
        latents = latents_given_source(model, guide, source, num_candidates=8)
    finally:
        hook.remove()
    assert set(read) == {1, 2}
    assert len(read) == 3
    assert {name: tuple(value.shape) for name, value in latents.items()} == {
        "z_meaning": (4, 1),
        "z_form_source": (4, 1),
    }
    assert len(latents["z_meaning"].unique()) == 4
    again = latents_given_source(model, guide, source, num_candidates=8)
    assert torch.equal(again["z_meaning"], latents["z_meaning"])


def test_pair_keeps_the_contract_and_reconstructs(pair):
    check_model(pair[0], condition=PAIRS)
    check_guide(pair[1], pair[0], condition=PAIRS)
    assert reconstruct(*pair, PAIRS).shape == (3, 3)
    # A source that is longer than any text is scored all the same.
    assert PAIRS["source"].shape[1] > pair[0].decoder.max_length
