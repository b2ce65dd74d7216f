# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Completions against enumeration: holes of a word, of several, a prompt, an end."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_textvae.errors import UserError
from pyro_textvae.generation.completion import Hole, Template, complete
from pyro_textvae.generation.completion.filling import fill
from pyro_textvae.generation.completion.latent_proposal import from_guide
from pyro_textvae.guides import DeltaGuide, EmptyGuide
from pyro_textvae.models import LanguageModel
from pyro_textvae.nn import LSTMEncoder, TransformerDecoder
from tests.generation.completion.truth import (
    ANY,
    GAP,
    TEMPLATES,
    WORD,
    joint,
    matching,
    probabilities,
)
from tests.generation.programs import ConditionalGuide, ConditionalModel, Conversation, Numbers

ONE_WORD = Template(((4,), (5, 3, 2)), (WORD,))


def check_unbiased(estimates, truth):
    """Estimates of p(x) (S, N), each without bias, and of their sum, within 4.5 errors."""
    total = estimates.sum(1)
    error = total.std() / len(total) ** 0.5
    assert abs(total.mean() - truth.sum()) < 4.5 * error
    assert error < 0.06 * truth.sum()
    # Of rare sentences few estimates are not zero: their error is no estimate of the error.
    common = truth > 0.01 * truth.sum()
    errors = estimates.std(0)[common] / len(total) ** 0.5
    assert ((estimates.mean(0) - truth)[common].abs() < 4.5 * errors).all()
    assert common.sum() >= 10


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize(
    ("name", "rounds"),
    [
        ("two words", 1),
        ("two words", 2),
        ("gap", 1),
        ("two gaps", 2),
        ("prompt", 1),
        ("word, gap, word", 1),
    ],
)
def test_completions_follow_the_model(pair, name, rounds):
    template, pattern = TEMPLATES[name]
    tokens = matching(pattern)
    runs = [
        complete(*pair, template, num_particles=60, num_candidates=90, rounds=rounds, seed=seed)
        for seed in range(10)
    ]
    estimates = torch.stack([joint(found, tokens) for found in runs])
    check_unbiased(estimates, probabilities(pair[0].decoder, tokens))
    for found in runs:
        assert found.probability.sum().item() == pytest.approx(1.0)
        assert 1 < found.effective_particles <= found.num_particles


def test_one_word_is_summed_over_the_vocabulary(pair):
    """At given latents and weights the result has no noise at all."""
    decoder, z = pair[0].decoder, torch.randn(5, 2).double()
    log_weights = torch.randn(5).double()
    filled = fill(decoder(z), log_weights, ONE_WORD, num_particles=5, num_candidates=20)
    assert len(filled) == 20
    for word in (3, 4, 5, 6):
        log_px = decoder(z).log_prob(torch.tensor([4, word, 5, 3, 2])).detach() + log_weights
        of_word = filled.log_weights[filled.words[:, 1] == word]
        torch.testing.assert_close(of_word.logsumexp(0), log_px.logsumexp(0))


def test_one_word_against_its_probability(pair):
    """p(word | rest) by quadrature; the noise is that of log p(x) alone."""
    truth = probabilities(pair[0].decoder, matching("4[3-6]532"))
    truth = truth / truth.sum()
    found = complete(*pair, ONE_WORD, num_particles=4000, num_candidates=20_000)
    by_word = dict(zip(found.tokens[:, 1].tolist(), found.probability.tolist(), strict=True))
    estimates = torch.tensor([by_word[word] for word in (3, 4, 5, 6)])
    # Four standard errors of a share, at the effective number of particles.
    assert ((estimates - truth).abs() < 4 * (truth / found.effective_particles).sqrt()).all()
    assert found.effective_particles > 500


def test_a_transformer_goes_on_from_beginnings_of_every_length(pair):
    """Its cache is as long as the beginning: those after a gap differ."""
    decoder = TransformerDecoder(7, 4, 8, 2, 6, num_heads=2, num_layers=1).double().eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(2.0)
    template, pattern = TEMPLATES["two gaps"]
    z = torch.randn(3, 2).double()
    tokens = matching(pattern)
    truth = decoder(z.unsqueeze(1)).log_prob(tokens).detach().exp().mean(0)
    estimates = torch.zeros(12, len(tokens)).double()
    for row in estimates:
        filled = fill(
            decoder(z), torch.zeros(3).double(), template, num_particles=90, num_candidates=200
        )
        for words, weight in zip(filled.words.tolist(), filled.log_weights.exp(), strict=True):
            place = (tokens == torch.tensor([*words, *[0] * (6 - len(words))])).all(-1)
            row[place] += weight / 3
    total = estimates.sum(1)
    assert abs(total.mean() - truth.sum()) < 4.5 * total.std() / 12**0.5
    assert total.std() < 0.4 * truth.sum()


def test_latents_of_the_guide_are_weighed(pair):
    """E[p(z) / q(z)] is 1, and E[p(z) / q(z) p(x | z)] is p(x)."""
    model, guide = pair
    sentences = matching("4[3-6]52")
    with torch.no_grad():
        pyro.set_rng_seed(1)
        drawn = from_guide(model, guide, 1, 20_000, sentences)
        weights = drawn.log_weights.exp()
        # Half of the draws are the prior's, so that no weight can be above 2.
        assert weights.max() <= 2.0 + 1e-9
        assert abs(weights.mean() - 1) < 4.5 * weights.std() / 20_000**0.5
        each = weights * drawn.given.text.log_prob(sentences[0]).exp()
        truth = probabilities(model.decoder, sentences[:1])
        assert abs(each.mean() - truth) < 4.5 * each.std() / 20_000**0.5


def test_a_language_model_needs_no_draw_for_one_word():
    model = LanguageModel(TransformerDecoder(7, 4, 8, 0, 6, num_heads=2)).double().eval()
    found = complete(model, EmptyGuide(), ONE_WORD)
    assert found.effective_particles is None
    assert "exact" in found.describe()
    log_px = model.decoder().log_prob(found.tokens).detach()
    torch.testing.assert_close(found.probability, log_px.softmax(0))
    assert found.log_evidence == pytest.approx(log_px.logsumexp(0).item())
    found = complete(model, EmptyGuide(), TEMPLATES["gap"][0], num_particles=50)
    assert 1 < found.effective_particles <= found.num_particles


def test_the_source_is_what_the_model_is_given(pair):
    decoder, encoder = pair[0].decoder, LSTMEncoder(7, 3, 8).double()
    model, guide = ConditionalModel(decoder, 7).eval(), ConditionalGuide(encoder, 7).eval()
    source = torch.tensor([[5, 2]])
    found = complete(model, guide, ONE_WORD, condition={"source": source}, num_particles=2000)
    shift = model.shift(source[:, 0]).detach()

    def shifted(z):
        return decoder(z + shift)

    truth = probabilities(shifted, matching("4[3-6]532"))
    assert found.log_evidence == pytest.approx(math.log(truth.sum()), abs=0.2)
    other = complete(model, guide, ONE_WORD, condition={"source": torch.tensor([[3, 2]])})
    assert abs(other.log_evidence - found.log_evidence) > 0.5
    with pytest.raises(UserError, match="needs the field 'source'"):
        complete(model, guide, ONE_WORD)


def test_completions_repeat_with_their_seed(pair):
    template = TEMPLATES["two gaps"][0]
    first, again, other = (
        complete(*pair, template, num_particles=30, num_candidates=50, seed=seed)
        for seed in (4, 4, 5)
    )
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(first.probability, again.probability)
    assert first.log_evidence != other.log_evidence
    assert torch.equal(first.draw(9, seed=1), again.draw(9, seed=1))


def test_what_may_not_stand_in_a_hole_does_not(pair):
    without = ANY.clone()
    without[3] = False
    template = Template(((4,), (2,)), (Hole(without, without, may_be_empty=True),))
    found = complete(*pair, template, num_particles=50)
    assert not (found.tokens == 3).any()
    tokens = matching("4[4-6]*2?")
    truth = probabilities(pair[0].decoder, tokens).sum().item()
    assert found.log_evidence == pytest.approx(math.log(truth), abs=0.3)


def test_a_guide_without_a_density_is_told(pair):
    guide = DeltaGuide(pair[1].encoder, 2).double().eval()
    found = complete(pair[0], guide, ONE_WORD)
    assert found.notes == (
        "latents are drawn from the prior, not from the guide: its z is one point, without a "
        "density",
    )


def test_what_cannot_be_completed(pair):
    model, guide = pair
    with pytest.raises(UserError, match="at least 7 tokens, the model writes at most 6"):
        complete(model, guide, Template(((4, 4, 4, 4, 4), (2,)), (WORD,)))
    assert complete(model, guide, Template(((4,) * 6, (2,)), (GAP,))).tokens.tolist() == [[4] * 6]
    with pytest.raises(UserError, match="at least 7 tokens"):
        complete(model, guide, Template(((4,) * 7, (2,)), (GAP,)))
    with pytest.raises(UserError, match="text site 'x' is Normal, not AutoregressiveCategorical"):
        complete(Numbers(), guide, ONE_WORD)
    with pytest.raises(UserError, match="one text for each datum"):
        complete(Conversation(model.decoder, 2, -2), guide, ONE_WORD)
    with pytest.raises(UserError, match="the condition must have 1 row, got 2"):
        complete(model, guide, ONE_WORD, condition={"source": torch.ones(2, 3).long()})
    with pytest.raises(UserError, match="num_particles must be at least 1, got 0"):
        complete(model, guide, ONE_WORD, num_particles=0)


class Judged(nn.Module):
    """z, a mark of it that is observed, and x."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, mark, tokens=None):
        with pyro.plate("data", len(mark)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            pyro.sample("mark", dist.Normal(z.sum(-1), 0.1), obs=mark)
            return pyro.sample("x", self.decoder(z), obs=tokens)


def test_what_is_observed_beside_the_text_counts(pair):
    model = Judged(pair[0].decoder).eval()
    guide = ConditionalGuide(LSTMEncoder(7, 3, 8).double(), 7).eval()
    template = Template(((), (2,)), (WORD,))
    condition = {"mark": torch.tensor([2.0]).double(), "source": torch.tensor([[5, 2]])}
    found = complete(model, guide, template, condition=condition, num_particles=3000, rounds=1)

    points = torch.linspace(-6.0, 6.0, 61, dtype=torch.float64)
    grid = torch.cartesian_prod(points, points)
    log_weight = dist.Normal(0.0, 1.0).log_prob(grid).sum(-1)
    log_weight = log_weight + dist.Normal(grid.sum(-1), 0.1).log_prob(condition["mark"])
    log_px = model.decoder(grid.unsqueeze(1)).log_prob(found.tokens).detach()
    truth = (log_weight.unsqueeze(1) + log_px).logsumexp(0).softmax(0)
    assert (found.probability - truth).abs().max() < 0.05
    assert truth.max() > 0.3
