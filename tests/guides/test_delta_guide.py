# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.cli.main import main
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.guides import DeltaGuide
from pyro_textvae.infer import PIWAE, BetaELBO, DReG
from pyro_textvae.nn import LSTMEncoder
from pyro_textvae.testing import check_guide


@pytest.fixture
def guide():
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    return DeltaGuide(encoder, latent_dim=2).double().eval()


@pytest.mark.parametrize("kl_weight", [0.0, 1.0])
def test_objective_is_the_joint_density_at_the_point(kl_weight, guide, pair, tokens):
    model, _ = pair
    z = guide.loc(guide.encoder(tokens))
    expected = model.decoder(z).log_prob(tokens) + kl_weight * model.prior().log_prob(z)
    loss = BetaELBO(kl_weight=kl_weight)(model, guide)(tokens=tokens)
    torch.testing.assert_close(-loss, expected.sum())
    loss.backward()
    assert guide.loc.weight.grad.abs().sum() > 0


def test_likelihood_is_refused(guide, pair, tokens):
    with pytest.raises(ValueError, match="all its mass on one point, so the likelihood cannot be"):
        log_likelihood(pair[0], guide, [{"tokens": tokens}], num_samples=2)


def test_one_draw_gives_the_terms_of_the_objective_and_says_what_they_are(guide, pair, tokens):
    model, _ = pair
    z = guide.loc(guide.encoder(tokens))
    found = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=1)
    torch.testing.assert_close(found.reconstruction, model.decoder(z).log_prob(tokens))
    torch.testing.assert_close(found.kl, -model.prior().log_prob(z))
    assert "the nll is minus the log of p(x, z) at that point" in found.notes[0]


def test_points_tell_every_sentence_from_the_others(guide, pair, tokens):
    found = information(pair[0], guide, [{"tokens": tokens}])
    z = guide.loc(guide.encoder(tokens))
    assert found.mutual_information == pytest.approx(found.mutual_information_ceiling, abs=1e-9)
    torch.testing.assert_close(found.unit_variance, z.var(0, correction=0).detach())


def test_contract_sees_a_point_that_is_not_the_sentence_s_own(guide, pair):
    check_guide(guide, pair[0])

    class Shifted(DeltaGuide):
        def posterior(self, features):
            return super().posterior(features + len(features))

    shifted = Shifted(guide.encoder, latent_dim=2).double().eval()
    with pytest.raises(Exception, match="a batch is not its sentences one by one"):
        check_guide(shifted, pair[0])


@pytest.mark.parametrize("objective", [DReG, PIWAE])
def test_estimators_that_cut_the_graph_have_the_gradient_of_the_bound(
    objective, guide, pair, tokens
):
    model, _ = pair
    options = {"num_groups": 1} if objective is PIWAE else {}
    parameters = list(guide.parameters())
    found = torch.autograd.grad(
        objective(num_particles=1, **options)(model, guide)(tokens=tokens), parameters
    )
    expected = torch.autograd.grad(BetaELBO()(model, guide)(tokens=tokens), parameters)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("num_samples", [1, 100])
def test_evaluate_refuses_a_run_of_it(num_samples, tmp_path, capsys):
    run = str(tmp_path / "run")
    small = "--num-sentences 60 --embedding-dim 4 --hidden-dim 5 --latent-dim 3 --epochs 1"
    assert (
        main(["train", "--guide", "delta", "--data", "grammar", *small.split(), "--out", run]) == 0
    )
    guide = ["--num-samples", str(num_samples), "--proposal", "guide"]
    assert main(["evaluate", run, *guide]) == 2
    assert "cannot be scored" in capsys.readouterr().err
    assert not (tmp_path / "run" / "evaluation.json").exists()
