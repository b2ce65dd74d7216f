# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The noisy channel against sums over all texts and an integral over z."""

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.pair_likelihood import PairLikelihood
from pyro_textvae.generation import build_method, generate, reconstruct, sample
from pyro_textvae.guides import NoisyChannelGuide
from pyro_textvae.infer import PerDatumELBO
from pyro_textvae.models import NoisyChannel
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import EOS
from pyro_textvae.testing import check_guide, check_model
from tests.nn.test_source import all_rows

SIZES = {"vocab_size": 6, "embedding_dim": 3}
# A source may be longer than any text, and shorter than its own.
PAIRS = {
    "tokens": torch.tensor([[3, 4, EOS], [EOS, 0, 0], [5, 3, EOS]]),
    "source": torch.tensor([[3, 4, 5, 4, EOS], [3, EOS, 0, 0, 0], [5, EOS, 0, 0, 0]]),
}
ROWS = all_rows(6, 3)
POINTS = torch.linspace(-8.0, 8.0, 65, dtype=torch.float64)


def make(max_length=3):
    torch.manual_seed(3)
    decoder = GRUDecoder(**SIZES, hidden_dim=5, latent_dim=1, max_length=max_length)
    model = NoisyChannel(StandardNormal(1), decoder, **SIZES)
    guide = NoisyChannelGuide(BagOfWordsEncoder(**SIZES, hidden_dim=5), 1, model)
    for program, spread in ((model, 0.9), (guide, 0.3)):
        for parameter in program.parameters():
            torch.nn.init.normal_(parameter, std=spread)
    with torch.no_grad():
        model.channel.kept.weight.copy_(torch.tensor([[0.0]] * 3 + [[1.0], [2.0], [0.5]]))
        model.channel.put_in_logit.fill_(-2.0)
        model.channel.left_out_logit.fill_(-2.5)
    return model.double().eval(), guide.double().eval()


@pytest.fixture(scope="module")
def pair():
    return make()


@torch.no_grad()
def exact(model):
    """log p(x) of all rows ``(M,)``, and log p(s | x) of each source ``(M, N)``."""
    grid = POINTS.view(-1, 1, 1)
    log_p = model.decoder(grid).log_prob(ROWS) + model.prior().log_prob(grid)
    log_p = log_p.logsumexp(0) + (POINTS[1] - POINTS[0]).log()
    of_sources = [model.channel(ROWS).log_prob(source) for source in PAIRS["source"]]
    return log_p, torch.stack(of_sources, -1)


def place_of(row):
    (place,) = (ROWS == row).all(1).nonzero().squeeze(1).tolist()
    return place


def test_each_likelihood_is_that_of_enumeration(pair):
    """|z| < 4.5 for each of nine estimates."""
    model, guide = pair
    log_px, log_ps = exact(model)
    assert log_px.logsumexp(0).abs() < 1e-9
    places = [place_of(row) for row in PAIRS["tokens"]]
    text = log_px[places]
    source = (log_px.unsqueeze(-1) + log_ps).logsumexp(0)
    joint = text + log_ps[places, range(3)]
    settings = {"num_samples": 1000}
    found = log_likelihood(model, guide, [PAIRS], **settings)
    assert found.beside_text == ("source",)
    result = PairLikelihood.of(found, model, guide, lambda: [PAIRS], **settings)
    for each, truth in zip((found, result.source, result.text), (joint, source, text), strict=True):
        errors = (each.log_px - truth) / each.standard_error
        assert errors.abs().max() < 4.5
        assert each.standard_error.max() < 0.1
    given_source = joint - source
    assert (result.log_px_given_source - given_source).abs().max() < 0.2
    # The three say different things of these pairs.
    assert (given_source - text).abs().min() > 0.04


def test_the_proposal_is_scored_as_it_is_drawn_and_is_near_to_the_posterior(pair):
    """It sums to one, and its weights average to p(s | z), whatever it leaves out."""
    model, _ = pair
    source = PAIRS["source"]
    z = torch.randn(7, 3, 1, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        proposal = model.text_given_source(z, source)
        assert proposal.log_prob(ROWS[:, None, None]).logsumexp(0).abs().max() < 1e-10
        state, previous, total = proposal.initial_state(), torch.full((21,), 1), 0
        rows = PAIRS["tokens"].repeat(7, 1)
        for word in rows.T:
            scores, state = proposal.step(previous, state)
            scores = scores.log_softmax(-1).gather(-1, (word.unsqueeze(-1) - 2).clamp(min=0))
            total = total + torch.where(word > 0, scores.squeeze(-1), 0.0)
            previous = word
        assert torch.allclose(proposal.log_prob(PAIRS["tokens"]).reshape(-1), total, atol=1e-12)
        exactly = model.decoder(z).log_prob(ROWS[:, None, None])
        exactly = exactly + model.channel(ROWS[:, None]).log_prob(source)[:, None]
        posterior = exactly.log_softmax(0).exp()
        of_proposal = proposal.log_prob(ROWS[:, None, None]).exp()
        prior = model.decoder(z).log_prob(ROWS[:, None, None]).exp()
    distance = (posterior - of_proposal).abs().sum(0).mean()
    assert distance < 0.75 * (posterior - prior).abs().sum(0).mean()


def test_a_word_that_was_left_out_does_not_explain_the_next_of_the_source():
    """A decoder that knows nothing of 58 words: the first is that of the source all the same."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "embedding_dim": 4}
    decoder = GRUDecoder(**sizes, hidden_dim=5, latent_dim=1, max_length=9)
    model = NoisyChannel(StandardNormal(1), decoder, **sizes)
    source = torch.tensor([[20, 30, 40, EOS]])
    with torch.no_grad():
        proposal = model.text_given_source(torch.zeros(1, 1), source)
        scores, _ = proposal.step(torch.ones(1, dtype=torch.long), proposal.initial_state())
    shares = scores.softmax(-1)[0]
    assert shares.argmax() == 20 - EOS
    assert shares.max() > 0.6


def test_texts_for_a_source_are_draws_given_it(pair):
    """Texts against p(x | s), of each of the 8 likeliest."""
    log_px, log_ps = exact(pair[0])
    posterior = (log_px + log_ps[:, 0]).softmax(0)
    size = 300
    condition = {"source": PAIRS["source"][:1].expand(size, -1)}
    drawn = generate(pair[0], condition, guide=pair[1], seed=1)
    counts = torch.tensor([(drawn.tokens == row).all(1).sum() for row in ROWS])
    assert counts.sum() == size
    best = posterior.topk(8).indices
    found, share = counts[best].double(), posterior[best]
    scores = (found - size * share) / (size * share * (1 - share)) ** 0.5
    assert scores.abs().max() < 4.5
    # Texts of the language model alone are others.
    assert (log_px.exp()[best] - share).abs().max() > 0.1
    again = generate(pair[0], condition, guide=pair[1], seed=1)
    assert torch.equal(drawn.tokens, again.tokens)
    assert drawn.log_prob.isfinite().all()


def test_what_a_method_cannot_choose_is_refused(pair):
    condition = {"source": PAIRS["source"]}
    with pytest.raises(UserError, match="NoisyChannel draws its source too, so"):
        sample(pair[0], condition)
    for asked in ({"method": "greedy"}, {"unknown": False}):
        with pytest.raises(UserError, match="'x' is drawn whole, given its source, not"):
            sample(pair[0], condition, guide=pair[1], **asked)
    with pytest.raises(UserError, match="option 'beams'"):
        build_method("greedy", {"beams": 2})


def test_pair_keeps_the_contract_and_reconstructs(pair):
    # With room for words beside the padding that a check adds.
    model, guide = make(max_length=6)
    check_model(model, condition=PAIRS)
    check_guide(guide, model, condition=PAIRS)
    assert reconstruct(*pair, PAIRS).shape == (3, 3)
    terms = PerDatumELBO().terms(*pair, **PAIRS)
    assert terms.log_weights.shape[-1] == 3
