# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs with a plate inside "data": every public number of an evaluation."""

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.evaluation.amortisation import amortisation_gap
from pyro_textvae.evaluation.annealing.bidirectional import bidirectional_check
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.checks import check
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.proposals import (
    AdaptiveProposal,
    GuideProposal,
    RefinedProposal,
    WidenedProposal,
)
from pyro_textvae.evaluation.sentences import single_sentences
from pyro_textvae.testing import check_guide, check_model
from tests.programs.pairs import CONVERSATIONS, conversations

BATCH = {"tokens": CONVERSATIONS}
PROPOSALS = [GuideProposal(), WidenedProposal(), AdaptiveProposal(), RefinedProposal()]
every_proposal = pytest.mark.parametrize("proposal", PROPOSALS, ids=lambda one: one.name)
both_layouts = pytest.mark.parametrize("data_dim", [-1, -2])
SHORT = AnnealingSettings(num_chains=8, num_temperatures=10, leapfrog_steps=1)


def exact_log_px(model, *, turn_latents=True):
    """log p of each conversation, by the trapezoid rule over z and over each turn's latent."""
    points = torch.linspace(-9.0, 9.0, 601, dtype=torch.float64)
    log_step = (points[1] - points[0]).log()
    normal = torch.distributions.Normal
    found = []
    with torch.no_grad():
        mean = points * model.mean.weight.squeeze()
        for conversation in CONVERSATIONS:
            total = normal(0.0, 1.0).log_prob(points)
            for turn in conversation[(conversation != 0).any(-1)]:
                if not turn_latents:
                    total = total + model.decoder(mean.unsqueeze(-1)).log_prob(turn)
                    continue
                score = model.decoder(points.unsqueeze(-1)).log_prob(turn)
                inner = normal(mean.unsqueeze(1), 1.0).log_prob(points) + score
                total = total + inner.logsumexp(1) + log_step
            found.append(total.logsumexp(0) + log_step)
    return torch.stack(found)


@both_layouts
@pytest.mark.parametrize("turn_latents", [True, False])
def test_log_likelihood_is_that_of_quadrature(data_dim, turn_latents):
    """20,000 draws; |z| < 4.5 for each of three conversations fails once in 50,000 seeds."""
    model, guide = conversations(data_dim, turn_latents=turn_latents)
    found = log_likelihood(model, guide, [BATCH], 20_000, max_tokens=100_000)
    exact = exact_log_px(model, turn_latents=turn_latents)
    assert (((found.log_px - exact) / found.standard_error).abs() < 4.5).all()
    assert (found.standard_error < 0.05).all()
    assert found.num_tokens_per_sentence.tolist() == [8, 3, 4]


@both_layouts
@every_proposal
def test_every_proposal_runs_and_says_where_it_cannot(data_dim, proposal):
    pair = conversations(data_dim)
    found = log_likelihood(*pair, [BATCH], 50, proposal=proposal, target_standard_error=1e-3)
    plain = log_likelihood(*pair, [BATCH], 50, target_standard_error=1e-3)
    if proposal.prior_share:
        # A share of the draws is the prior's.
        assert ((found.log_px - exact_log_px(pair[0])).abs() < 4.5 * found.standard_error).all()
    else:
        assert torch.equal(found.log_px, plain.log_px)
    notes = [] if proposal.name == "guide" else ["2 latent sites (z, z_turn): the draws are the g"]
    assert len(found.notes) == len(notes)
    assert all(note in said for note, said in zip(notes, found.notes, strict=True))


@both_layouts
@every_proposal
def test_every_proposal_takes_one_vector_for_each_datum(data_dim, proposal):
    """Its note is not there, and its draws are others than the guide's; 4.5 standard errors."""
    model, guide = conversations(data_dim, turn_latents=False)
    quasi_random = proposal.name == "adaptive"
    found = log_likelihood(
        model, guide, [BATCH], 4000, proposal=proposal, quasi_random=quasi_random
    )
    exact = exact_log_px(model, turn_latents=False)
    assert found.notes == ()
    assert (((found.log_px - exact) / found.standard_error).abs() < 4.5).all()


@both_layouts
def test_numbers_of_a_conversation_do_not_depend_on_its_batch(data_dim):
    """Neither on the turns and widths of others, nor on the number of tokens decoded at once."""
    pair = conversations(data_dim)
    whole = log_likelihood(*pair, [BATCH], 40, target_standard_error=1e-3, most_rounds=2)
    single = [{"tokens": CONVERSATIONS[row : row + 1]} for row in (2, 1, 0)]
    alone = log_likelihood(
        *pair, single, 40, target_standard_error=1e-3, most_rounds=2, max_tokens=30
    )
    assert torch.equal(alone.keys.flip(0), whole.keys)
    for name in ("log_px", "standard_error", "kl", "reconstruction"):
        torch.testing.assert_close(
            getattr(alone, name).flip(0), getattr(whole, name), rtol=0, atol=1e-10
        )


@both_layouts
def test_gradient_in_a_latent_of_the_turns_is_the_slope_of_the_scores(data_dim):
    model, guide = conversations(data_dim)
    posteriors = Posteriors(model, guide, BATCH, 0)
    latents, _ = posteriors.sample(5, 0)
    assert latents["z"].shape == (5, 3, 1)
    assert latents["z_turn"].shape == (5, 3, 3, 1)
    target = Target(model, BATCH, plates=posteriors.plates, max_tokens=50)
    _, gradients = target.gradient(latents)
    # Turns that were not said count for nothing.
    assert (gradients["z_turn"][:, 1, 1:] == 0).all()
    for n, t in ((0, 2), (1, 0), (2, 1)):
        step = torch.zeros_like(latents["z_turn"])
        step[:, n, t] = 1e-5
        ends = (
            target(latents | {"z_turn": latents["z_turn"] + sign * step}).total for sign in (1, -1)
        )
        above, below = ends
        slope = (above - below)[:, n] / 2e-5
        torch.testing.assert_close(gradients["z_turn"][:, n, t, 0], slope, rtol=0, atol=1e-8)


@both_layouts
def test_information_gives_the_kl_and_says_what_it_leaves_out(data_dim):
    """The KL is that of the bound, summed over turns; units are those of the whole conversation."""
    pair = conversations(data_dim)
    found = information(*pair, [BATCH, {"tokens": CONVERSATIONS[1:, :2]}])
    kl = log_likelihood(*pair, [BATCH], 20_000).kl.mean().item()
    assert information(*pair, [BATCH] * 100).kl == pytest.approx(kl, rel=0.1)
    assert found.mutual_information is None
    assert found.unit_variance.isnan().tolist() == [False, True]
    assert found.left_out == (
        "the latents are 2 sites ('z', 'z_turn'), and their mutual information and the parts of "
        "the KL are left out: some are masked, or in a plate inside 'data'",
        "latent site 'z_turn' has several posteriors for a sentence, in the plate 'turns': its KL "
        "alone is told",
    )
    assert found.to_dict()["left_out"] == list(found.left_out)
    one = information(*conversations(data_dim, turn_latents=False), [BATCH])
    assert one.left_out == ()
    assert "left_out" not in one.to_dict()


@both_layouts
def test_check_anneals_all_latents_and_leaves_out_what_needs_one(data_dim, monkeypatch):
    for place in ("check", "bidirectional"):
        monkeypatch.setattr(
            f"pyro_textvae.evaluation.annealing.{place}.AnnealingSettings", lambda: SHORT
        )
    model, guide = conversations(data_dim)
    pair = as_generator(model), guide
    likelihood = log_likelihood(*pair, [BATCH], 10)
    found = check(*pair, [BATCH], likelihood, seed=0, max_tokens=None, progress=False)
    assert found["annealing"]["sandwich"]["num_sentences"] == len(BATCH["tokens"])
    assert abs(found["annealing"]["sandwich"]["gap"]) < 0.3
    assert abs(found["bidirectional"]["gap"]) < 0.3
    assert "2 latent sites (z, z_turn): leave it out" in found["left_out"][0]
    suited = set(zoo.names("proposals")) - {"sequential"}
    assert {row["proposal"] for row in found["proposals"]} == suited


@both_layouts
def test_annealing_and_amortisation_take_one_vector_for_each_conversation(data_dim):
    """The gap of the bidirectional sandwich is none but noise, and the annealed bound holds."""
    model, guide = conversations(data_dim, turn_latents=False)
    model = as_generator(model)
    found = bidirectional_check(model, guide, 6, settings=SHORT, max_tokens=4096)
    assert found.gap.isfinite().all()
    assert abs(found.mean_gap) < 4.5 * found.gap_standard_error + 0.1
    gap = amortisation_gap(model, guide, single_sentences(BATCH), steps=5, num_draws=32)
    assert gap.gap.isfinite().all()
    assert gap.mean > 0


@both_layouts
@pytest.mark.parametrize("turn_latents", [True, False])
def test_pair_keeps_the_contract(data_dim, turn_latents):
    model, guide = conversations(data_dim, turn_latents=turn_latents)
    check_model(as_generator(model))
    check_guide(guide, as_generator(model))


def as_generator(model):
    """With a decoder that can sample: that of the exact values only scores."""
    from pyro_textvae.nn import LSTMDecoder

    torch.manual_seed(0)
    model.decoder = LSTMDecoder(
        vocab_size=20, embedding_dim=3, hidden_dim=4, latent_dim=1, max_length=8
    ).double()
    return model


def test_turns_that_are_not_masked_are_caught():
    """A program that scores a turn of padding alone: its numbers would depend on other data."""
    from pyro_textvae.testing import ContractError
    from tests.programs import two_plates

    class Unmasked(two_plates.ConversationVAE):
        def forward(self, tokens=None, *, size=None):
            if tokens is not None:
                first = torch.where((tokens != 0).any(-1), tokens[..., 0], 2).unsqueeze(-1)
                tokens = torch.cat([first, tokens[..., 1:]], -1)
            return super().forward(tokens, size=size)

    model, _ = conversations(-2)
    unmasked = Unmasked(model.decoder, 1).double()
    with pytest.raises(ContractError, match="padding changes scores of the model"):
        check_model(as_generator(unmasked))
