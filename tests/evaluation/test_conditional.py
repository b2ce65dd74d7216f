# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs of a text with a source, z ~ p(z | source), x ~ p(x | z, source), everywhere."""

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import gradient_signal, information, log_likelihood
from pyro_textvae.evaluation.annealing.bidirectional import bidirectional_check
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.checks import check
from pyro_textvae.evaluation.proposals import (
    AdaptiveProposal,
    GuideProposal,
    RefinedProposal,
    WidenedProposal,
)
from pyro_textvae.evaluation.sentences import single_sentences
from pyro_textvae.infer import BetaELBO
from pyro_textvae.testing import check_guide, check_model, check_pair
from tests.programs.pairs import TEXT_AND_SOURCE, conditional

SHORT = AnnealingSettings(num_chains=4, num_temperatures=40, leapfrog_steps=2)
EXTRA = TEXT_AND_SOURCE | {"labels": torch.tensor([0, 1, -1, 1])}
"""With a field that neither program names."""


def exact_log_px(model):
    """log p(x | source) of each text by the trapezoid rule over one latent dimension."""
    points = torch.linspace(-12.0, 12.0, 4001, dtype=torch.float64)
    with torch.no_grad():
        features = model.source_encoder(TEXT_AND_SOURCE["source"])
        loc, log_scale = model.prior(features).chunk(2, -1)
        z = points[:, None, None].expand(-1, 4, 1)
        score = torch.distributions.Normal(loc, log_scale.exp()).log_prob(z).squeeze(-1)
        score = score + model.text(z, features).log_prob(TEXT_AND_SOURCE["tokens"])
        return score.logsumexp(0) + (points[1] - points[0]).log()


@pytest.mark.parametrize(
    "proposal",
    [GuideProposal(), WidenedProposal(), AdaptiveProposal(), RefinedProposal()],
    ids=lambda one: one.name,
)
def test_log_likelihood_is_that_of_quadrature(proposal):
    """5,000 draws; |z| < 4.5 for each of four texts fails once in 37,000 seeds."""
    model, guide = conditional(latent_dim=1)
    found = log_likelihood(model, guide, [EXTRA], 5000, proposal=proposal)
    assert (((found.log_px - exact_log_px(model)) / found.standard_error).abs() < 4.5).all()
    assert (found.standard_error < 0.05).all()
    assert found.notes == ()


def test_numbers_belong_to_a_text_and_its_source():
    """The same text with another source has others; in another batch it has the same."""
    pair = conditional()
    whole = log_likelihood(*pair, [TEXT_AND_SOURCE], 20)
    some = {name: value[[2, 0]] for name, value in TEXT_AND_SOURCE.items()}
    torch.testing.assert_close(log_likelihood(*pair, [some], 20).log_px, whole.log_px[[2, 0]])
    other = TEXT_AND_SOURCE | {"source": TEXT_AND_SOURCE["source"].flip(0)}
    assert (log_likelihood(*pair, [other], 20).log_px != whole.log_px).all()


def test_information_runs_under_a_prior_of_the_source():
    pair = conditional()
    found = information(*pair, [EXTRA])
    assert found.kl > 0
    # They would be of the text and of the source together.
    assert found.mutual_information is found.aggregate_kl is found.active_units is None
    assert found.unit_variance.isnan().tolist() == [True, True]
    (reason,) = found.left_out
    assert reason.startswith("the prior of latent site 'z' differs between sentences")


def test_sandwich_is_of_texts_simulated_on_the_sources_of_the_sentences():
    model, guide = conditional()
    sentences = single_sentences(EXTRA)
    found = bidirectional_check(
        model, guide, 6, sentences=sentences, settings=SHORT, max_tokens=4096
    )
    assert found.gap.isfinite().all()
    assert abs(found.mean_gap) < 4.5 * found.gap_standard_error + 0.1
    with pytest.raises(UserError, match="ConditionalVAE needs the field 'source'"):
        bidirectional_check(model, guide, 6, sentences=[{"tokens": torch.tensor([[4, 2]])}])


def test_check_has_all_its_parts(monkeypatch):
    """By chains so short that none of the numbers is worth a look."""
    shortest = AnnealingSettings(num_chains=2, num_temperatures=6, leapfrog_steps=1)
    for place in ("check", "bidirectional"):
        monkeypatch.setattr(
            f"pyro_textvae.evaluation.annealing.{place}.AnnealingSettings", lambda: shortest
        )
    pair = conditional()
    likelihood = log_likelihood(*pair, [EXTRA], 100)
    found = check(*pair, [EXTRA], likelihood, seed=0, max_tokens=None, progress=False)
    assert found["left_out"] == []
    assert found["bidirectional"]["num_sentences"] == 24
    assert found["gaps"]["num_sentences"] == 4
    suited = set(zoo.names("proposals")) - {"sequential"}
    assert {row["proposal"] for row in found["proposals"]} == suited
    assert {"heavy_tail_share"} <= set(found["proposals"][0])


def test_gradient_signal_runs():
    signal = gradient_signal(*conditional(), BetaELBO(), EXTRA, num_draws=5)
    assert signal.model > 0
    assert signal.guide > 0


def test_pair_keeps_the_contract():
    model, guide = conditional()
    condition = {"source": TEXT_AND_SOURCE["source"]}
    check_model(model, condition=condition)
    check_guide(guide, model, condition=condition)
    check_pair(model, guide, BetaELBO(), EXTRA)
    with pytest.raises(UserError, match="ConditionalVAE needs the field 'source' to generate"):
        check_model(model)


def test_source_whose_padding_counts_is_caught():
    from pyro_textvae.testing import ContractError
    from tests.programs import conditional as programs

    class ReadsPadding(programs.ConditionalVAE):
        def forward(self, source, tokens=None):
            self.prior.bias.data[0] = 0.01 * source.shape[1]
            return super().forward(source, tokens)

    model, _ = conditional()
    reading = ReadsPadding(7, 6, 3, 4, 2).double()
    reading.load_state_dict(model.state_dict())
    with pytest.raises(ContractError, match="padding changes scores of the model"):
        check_model(reading, condition={"source": TEXT_AND_SOURCE["source"]})
