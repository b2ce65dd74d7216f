# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.evaluation.amortisation import amortisation_gap
from pyro_textvae.evaluation.sentences import single_sentences
from tests.evaluation.table_pair import batches_of, standard_normal, table_guide
from tests.evaluation.test_likelihood import tiny_pair
from tests.quadrature import LOG_PX_1D, SENTENCES


def test_gap_closes_what_a_shifted_guide_loses_and_no_more():
    """The gain lies between the loss of the shift, known by quadrature, and the whole gap."""
    model, guide = tiny_pair()
    shifted_model, shifted = tiny_pair()
    shifted.loc += 1.0 * shifted.scale
    sentences = single_sentences({"tokens": SENTENCES})
    own = amortisation_gap(model, guide, sentences, num_draws=4000)
    gained = amortisation_gap(shifted_model, shifted, sentences, steps=150, num_draws=4000)

    # The bound of both guides by 20,001 points, in float64.
    u = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    weight = torch.exp(-0.5 * u**2)
    weight /= weight.sum()

    def bound(one):
        first = SENTENCES[:, 0]
        loc, scale = one.loc[first, 0], one.scale[first, 0]
        z = loc + scale * u[:, None]
        log_q = -0.5 * u[:, None] ** 2 - scale.log()
        log_prior = -0.5 * z**2
        with torch.no_grad():
            log_likelihood = model.decoder(z.unsqueeze(-1)).log_prob(SENTENCES)
        return (weight[:, None] * (log_likelihood + log_prior - log_q)).sum(0)

    lost = bound(guide) - bound(shifted)
    whole = torch.tensor(LOG_PX_1D).double() - bound(shifted)
    slack = 4.5 * gained.standard_error
    assert (gained.gap > lost - slack).all()
    assert (gained.gap < whole + slack).all()
    assert (lost > 10 * gained.standard_error).all()
    # Moment-matched posteriors are near the best of the family: little is left to gain.
    assert (own.gap.abs() < 0.05 + 4.5 * own.standard_error).all()
    assert own.mean == pytest.approx(own.gap.mean().item())


def test_sentences_come_back_in_their_order_with_their_own_numbers(pair, tokens):
    model, guide = pair
    sentences = single_sentences({"tokens": tokens})
    together = amortisation_gap(model, guide, sentences, steps=5)
    alone = amortisation_gap(model, guide, sentences[2:3], steps=5)
    torch.testing.assert_close(together.gap[2:3], alone.gap, rtol=1e-8, atol=1e-8)
    assert together.evaluations == 4 * alone.evaluations


def test_posterior_of_another_family_is_refused():
    guide = table_guide(torch.zeros(2, 3), 1.0, dist.Laplace)
    sentences = single_sentences(batches_of(2)[0])
    with pytest.raises(
        ValueError, match="has a posterior of the kind Laplace at 'z': leave it out"
    ):
        amortisation_gap(standard_normal(3, torch.float32), guide, sentences)


def test_equal_sentences_share_their_noise_and_the_error_of_the_mean_knows(pair, tokens):
    sentences = single_sentences({"tokens": tokens[[2, 2, 2, 2]]})
    gap = amortisation_gap(*pair, sentences, steps=2, num_draws=8)
    torch.testing.assert_close(gap.gap, gap.gap[:1].expand(4))
    assert gap.mean_standard_error == pytest.approx(gap.standard_error[0].item())
