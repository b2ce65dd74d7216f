# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""log p(x) by particles along the latents, against exact recursions."""

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.annealing.check import check_with_annealing
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.proposals import GuideProposal, SequentialProposal
from pyro_textvae.evaluation.sentences import single_sentences
from tests.programs.chains import (
    FIRST_WORD,
    GaussianChain,
    GaussianChainGuide,
    HiddenMarkovGuide,
    HiddenMarkovModel,
    Plan,
    PlanGuide,
    Whole,
    forward_log_px,
    gaussian_chains,
    kalman_log_px,
)

WORDS = torch.tensor([[4, 7, 7, 6, 5, 5, 4], [6, 6, 4, 7, 0, 0, 0]])
CHAIN = GaussianChain(), GaussianChainGuide()


def sequential(pair, tokens, count=1000, **options):
    proposal = SequentialProposal()
    return log_likelihood(*pair, [{"tokens": tokens}], count, proposal=proposal, **options)


def test_fifty_steps_of_a_state_space_model_are_those_of_kalman():
    """1,000 particles: |error| < 4.5 standard errors of at most 0.1; at once it is far above.

    The error is that between eight populations, and the interval has Student's quantile for it.
    """
    x = gaussian_chains(2, 50)
    exact = kalman_log_px(x)
    found = sequential(CHAIN, x)
    assert found.notes == ()
    assert (found.standard_error <= 0.1).all()
    assert ((found.log_px - exact).abs() < 4.5 * found.standard_error).all()
    assert found.settled.all()
    assert (found.khat < 0.7).all()
    assert (found.ess < 1000).all()
    low, high = found.nll_interval
    assert low < -exact.mean() < high
    at_once = log_likelihood(*CHAIN, [{"tokens": x}], 1000)
    assert at_once.standard_error.mean() > 1.3 * found.standard_error.mean()
    # The bound is that of the guide, by 125 particles that are not resampled: its error is 0.2.
    assert ((found.elbo - at_once.elbo).abs() < 0.9).all()
    assert (found.decoder_evaluations < 1140).all()


@pytest.mark.parametrize("whole", [False, True], ids=["steps", "order"])
def test_words_of_a_hidden_markov_model_are_those_of_the_forward_recursion(whole):
    """A discrete latent for each word, summed over exactly; sentences of other lengths apart."""
    pair = HiddenMarkovModel(), HiddenMarkovGuide()
    pair = tuple(map(Whole, pair)) if whole else pair
    for tokens in (WORDS[:1], WORDS[1:, :4]):
        found = sequential(pair, tokens, 800)
        error = (found.log_px - forward_log_px(tokens)).abs()
        assert (error < 4.5 * found.standard_error).all()
        assert (found.standard_error < 0.1).all()
        noted = ["told by the order of the sites" in note for note in found.notes]
        assert noted == [True] * whole


def test_short_chain_is_that_of_weights_of_all_latents_at_once():
    x = gaussian_chains(3, 4)
    found = sequential((Plan(), PlanGuide()), x)
    for other in (Plan().log_px(x), log_likelihood(Plan(), PlanGuide(), [{"tokens": x}], 1000)):
        if not isinstance(other, torch.Tensor):
            error = torch.hypot(other.standard_error, found.standard_error)
            assert ((found.log_px - other.log_px).abs() < 4.5 * error).all()
            torch.testing.assert_close(found.elbo, other.elbo, atol=0.5, rtol=0.1)
        else:
            assert ((found.log_px - other).abs() < 4.5 * found.standard_error).all()


def test_numbers_of_a_text_are_its_own():
    """In any batch, by any number of rounds; other seeds have others."""
    x = gaussian_chains(3, 6)
    whole = sequential(CHAIN, x, 40, target_standard_error=1e-3, most_rounds=2)
    alone = sequential(CHAIN, x[[2]], 40, target_standard_error=1e-3, most_rounds=2)
    for name in ("log_px", "standard_error", "reconstruction", "kl", "khat", "decoder_evaluations"):
        torch.testing.assert_close(getattr(alone, name), getattr(whole, name)[[2]], equal_nan=True)
    assert (whole.num_draws == 80).all()
    assert (whole.decoder_evaluations >= 2 * 48).all()
    assert (sequential(CHAIN, x, 40, seed=1).log_px != sequential(CHAIN, x, 40).log_px).all()


class Transposed(GaussianChain):
    """Its state has the particles at the right, where they are not looked for."""

    def step(self, state, t, tokens):
        z = super().step(state.mT if state.dim() > 1 else state, t, tokens)
        return z.mT.contiguous() if z.dim() > 1 else z


class Forgetful(GaussianChain):
    """Its steps leave a density out."""

    def step(self, state, t, tokens):
        return super().step(state if t != 2 else 0 * state, t, tokens)

    def forward(self, tokens):
        return GaussianChain().forward(tokens)


@pytest.mark.parametrize("model", [Transposed(), Forgetful()])
def test_steps_that_are_not_the_program_are_refused(model):
    with pytest.raises(
        UserError, match=r"steps of \w+ are not what its forward does: log p\(x, z\)"
    ):
        sequential((model, GaussianChainGuide()), gaussian_chains(2, 20), 100)


def test_pair_without_steps_has_the_draws_of_the_guide(pair_without_steps):
    tokens = torch.tensor([[4, 5, 2], [6, 2, 0]])
    found = sequential(pair_without_steps, tokens, 50)
    (note,) = found.notes
    assert note == (
        "the sequential proposal needs latents that follow each other, and no latent of the model "
        "comes after something observed: the draws are the guide's own"
    )
    by_guide = log_likelihood(
        *pair_without_steps, [{"tokens": tokens}], 50, proposal=GuideProposal()
    )
    assert ((found.log_px - by_guide.log_px).abs() < 4.5 * found.standard_error + 0.1).all()


@pytest.fixture
def pair_without_steps():
    from pyro_textvae.guides import GaussianGuide
    from pyro_textvae.models import SentenceVAE
    from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    from pyro_textvae.priors import StandardNormal

    torch.manual_seed(0)
    sizes = {"vocab_size": FIRST_WORD + 4, "embedding_dim": 3, "hidden_dim": 4}
    decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=8)
    return SentenceVAE(StandardNormal(2), decoder), GaussianGuide(LSTMEncoder(**sizes), 2)


def test_annealing_checks_a_chain_and_only_chains_are_compared_with_it(pair_without_steps):
    """Bounds around the exact value, and a row beside the other proposals."""
    x = gaussian_chains(2, 4)
    batches = single_sentences({"tokens": x})
    checked = check_with_annealing(
        *CHAIN,
        batches,
        sequential(CHAIN, x, 200),
        settings=AnnealingSettings(num_chains=16, num_temperatures=20, leapfrog_steps=2),
    )
    exact = kalman_log_px(x)[checked.indices]
    assert ((checked.annealed - exact).abs() < 4.5 * checked.annealed_error + 0.05).all()
    assert SequentialProposal().suits(Posteriors(*CHAIN, {"tokens": x}, 0))
    words = {"tokens": torch.tensor([[4, 5, 2]])}
    assert not SequentialProposal().suits(Posteriors(*pair_without_steps, words, 0))
    assert not SequentialProposal().suits(None)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"resample_below must lie in \[0, 1\], got 2"):
        SequentialProposal(resample_below=2)
    with pytest.raises(ValueError, match="the sequential proposal draws step by step"):
        sequential(CHAIN, gaussian_chains(1, 3), 10, quasi_random=True)
    model = GaussianChain()
    model.num_steps = lambda tokens: torch.tensor(tokens.shape[1])
    with pytest.raises(UserError, match="num_steps of GaussianChain must return a whole number ab"):
        sequential((model, GaussianChainGuide()), gaussian_chains(1, 3), 10)
