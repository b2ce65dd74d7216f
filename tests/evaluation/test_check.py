# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json
import math
from dataclasses import replace

import pytest
import torch

from pyro_textvae.data import Batch
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.annealing import sentences as annealed_sentences
from pyro_textvae.evaluation.annealing.check import Difference, check_with_annealing
from pyro_textvae.evaluation.annealing.path import AnnealedEstimate, AnnealingSettings
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.models import LanguageModel
from pyro_textvae.nn import LSTMDecoder
from tests.quadrature import log_px_by_quadrature

QUICK = AnnealingSettings(num_chains=16, num_temperatures=10, leapfrog_steps=2)
TINY = AnnealingSettings(num_chains=2, num_temperatures=2, leapfrog_steps=1)


@pytest.fixture
def split(tokens):
    """The four sentences six times over, in two batches that are not in corpus order."""
    rows = tokens.repeat(6, 1)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(5))
    return [Batch({"tokens": rows[part]}, part) for part in order.split(16)]


@pytest.fixture
def exact(pair, tokens):
    """log p(x) of the twenty-four, on a 101 x 101 grid."""
    return log_px_by_quadrature(pair[0].decoder, tokens, 2).repeat(6)


@pytest.fixture
def scored(pair, split):
    return log_likelihood(*pair, split, num_samples=500)


@pytest.fixture
def checked(pair, split, scored):
    return check_with_annealing(*pair, split, scored, num_random=10, num_worst=4, settings=QUICK)


def test_annealed_sentences_are_those_of_the_split_in_its_order(exact, checked):
    """Each within 4.5 of its own standard errors of the truth; lengths and places mixed."""
    exact = exact[checked.indices]
    assert ((checked.annealed - exact) / checked.annealed_error).abs().max() < 4.5
    assert checked.annealed_error.max() < 0.2
    assert exact.std() > 1.0  # so that a mistaken place could not pass


def test_sentences_annealed_apart_have_numbers_of_their_own(pair, tokens):
    """Thirty-two of one sentence are annealed sixteen at a time; no two may share their chains."""
    batches = [{"tokens": tokens[:1].repeat(32, 1)}]
    scored = log_likelihood(*pair, batches, num_samples=2)
    result = check_with_annealing(*pair, batches, scored, settings=TINY)
    assert len(result.annealed.unique()) == 32


def test_parts_come_back_by_place():
    parts = [
        (
            torch.tensor(rows),
            AnnealedEstimate(
                log_weights=torch.tensor([rows, rows]).double(),
                acceptance=torch.tensor(rows) / 10,
                is_upper_bound=True,
            ),
        )
        for rows in ([3, 0], [1, 4, 2])
    ]
    whole = annealed_sentences.in_order(parts)
    torch.testing.assert_close(whole.log_px, torch.arange(5).double())
    torch.testing.assert_close(whole.acceptance, torch.arange(5) / 10)
    assert whole.is_upper_bound


def test_a_right_estimate_raises_no_warning(checked, scored):
    assert not checked.random.warns
    assert not checked.worst.warns
    assert not checked.random.annealing_falls_short
    assert torch.equal(checked.checked, scored.log_px[checked.indices])
    assert torch.equal(checked.elbo, scored.elbo[checked.indices])


@pytest.mark.parametrize(("shift", "warns"), [(-0.5, True), (0.5, False)])
def test_an_estimate_half_a_nat_off_is_found_out(pair, split, scored, shift, warns):
    wrong = replace(scored, log_px=scored.log_px + shift)
    result = check_with_annealing(*pair, split, wrong, num_random=10, num_worst=4, settings=QUICK)
    for difference in (result.random, result.worst):
        assert difference.warns == warns
        assert difference.annealing_falls_short != warns
        assert abs(difference.mean + shift) < 4.5 * difference.standard_error


def test_estimates_outside_of_their_bounds_are_counted(checked):
    """Beyond a tenth of a nat and three errors, to either side; an error not known is none."""
    assert not checked.is_outside.any()
    bounds = checked.sandwich
    room = [
        (3 * torch.hypot(error, checked.checked_error)).clamp(min=0.1)
        for error in (bounds.lower_error, bounds.upper_error)
    ]
    for values, outside in (
        (bounds.lower - 0.99 * room[0], False),
        (bounds.lower - 1.01 * room[0], True),
        (bounds.upper + 1.01 * room[1], True),
    ):
        moved = replace(checked, checked=values)
        assert (moved.is_outside == outside).all()
        assert moved.to_dict()["sandwich"]["num_outside"] == len(values) * outside
    unknown = torch.full_like(checked.checked_error, math.nan)
    assert not replace(checked, checked_error=unknown, checked=bounds.lower).is_outside.any()


def test_too_narrow_a_guide_is_found_out(pair):
    """Its 200 draws miss much of the posterior, which draws from the guide as it was do not."""
    model, guide = pair
    rows = torch.randint(3, 7, (16, 5), generator=torch.Generator().manual_seed(0))
    rows[:, -1] = 2
    batches = [{"tokens": rows}]
    better = log_likelihood(model, guide, batches, num_samples=1000)
    with torch.no_grad():
        guide.log_variance.weight.zero_()
        guide.log_variance.bias.fill_(2 * math.log(0.15))
    scored = log_likelihood(model, guide, batches, num_samples=200)
    assert better.nll < scored.nll - 0.5
    settings = AnnealingSettings(num_chains=16, num_temperatures=10, leapfrog_steps=2)
    result = check_with_annealing(model, guide, batches, scored, settings=settings)
    assert result.random.warns
    against_better = check_with_annealing(model, guide, batches, better, settings=settings)
    assert not against_better.random.warns


def test_random_sentences_are_as_many_as_asked_and_change_with_the_seed(pair, split, scored):
    def choose(seed):
        return check_with_annealing(
            *pair, split, scored, num_random=10, num_worst=1, settings=TINY, seed=seed
        )

    one, other = choose(0), choose(1)
    assert one.is_random.sum() == 10
    assert one.indices.tolist() == sorted(set(one.indices.tolist()))
    assert one.indices.tolist() != other.indices.tolist()
    assert torch.equal(choose(0).annealed, one.annealed)


@pytest.mark.parametrize("has_khat", [True, False])
def test_worst_sentences_are_those_of_the_highest_khat_or_the_lowest_ess(
    pair, split, scored, has_khat
):
    khat = torch.linspace(-1.0, 0.9, 24).double().roll(7)
    khat[3] = -math.inf
    ess = torch.linspace(5.0, 90.0, 24).double().roll(2)
    khat = khat if has_khat else torch.full_like(khat, math.nan)
    known = replace(scored, khat=khat, ess=ess)
    result = check_with_annealing(*pair, split, known, num_random=1, num_worst=3, settings=TINY)
    expected = [4, 5, 6] if has_khat else [2, 3, 4]
    assert result.indices[result.is_worst].tolist() == expected


def test_unsettled_and_annealed_sentences_are_worse_than_settled_ones(pair, split, scored):
    """An annealed sentence has no k-hat, and would else come after all that have one."""
    khat = torch.linspace(-1.0, 0.6, 24).double()
    error = torch.full((24,), 0.01).double()
    khat[5], error[5] = math.nan, 0.1
    error[9] = 0.3
    known = replace(
        scored, khat=khat, standard_error=error, half_difference=torch.zeros(24).double()
    )
    assert known.settled.logical_not().nonzero().flatten().tolist() == [9]
    result = check_with_annealing(*pair, split, known, num_random=1, num_worst=3, settings=TINY)
    assert result.indices[result.is_worst].tolist() == [5, 9, 23]


def test_a_split_smaller_than_asked_for_is_checked_whole(pair, tokens):
    batches = [{"tokens": tokens}]
    scored = log_likelihood(*pair, batches, num_samples=1)
    result = check_with_annealing(*pair, batches, scored, settings=TINY)
    assert result.indices.tolist() == [0, 1, 2, 3]
    assert result.is_random.all()
    assert result.is_worst.all()
    assert math.isfinite(result.random.standard_error)  # a single draw has no error to add


def test_summary_is_made_of_its_columns_and_can_be_written(checked):
    summary = json.loads(json.dumps(checked.to_dict(), allow_nan=False))
    chosen = checked.is_random
    count = int(chosen.sum())
    difference = (checked.annealed - checked.checked)[chosen]
    variance = (checked.annealed_error**2)[chosen].sum()
    # Equal sentences have equal draws in the estimate that is checked, so their errors add up.
    for key in checked.keys.unique():
        variance += checked.checked_error[chosen & (checked.keys == key)].sum() ** 2
    assert len(checked.keys[chosen].unique()) == 4
    assert summary["random"]["mean"] == pytest.approx(difference.sum().item() / count)
    assert summary["random"]["standard_error"] == pytest.approx(variance.sqrt().item() / count)
    assert summary["random"]["num_sentences"] == count == 10
    assert summary["worst"]["num_sentences"] == 4
    gap = (checked.annealed - checked.elbo)[chosen].mean().item()
    assert summary["inference_gap"] == pytest.approx(gap)
    assert gap > 0.0
    assert summary["num_temperatures"] == 10
    assert summary["seed"] == 0


def test_evaluations_are_counted(pair, split, scored):
    """A gradient counts as three; what another chain costs, beside the fit and the pilot run.

    Its start in each direction and its moves, and what its end is moved on by between them.
    """
    options = {"num_random": 10, "num_worst": 4, "close": False}
    one, more = (
        check_with_annealing(*pair, split, scored, settings=settings, **options)
        for settings in (QUICK, replace(QUICK, num_chains=17))
    )
    run = 1 + 2 * QUICK.transitions
    chain = 3 * (2 * run + 1 + 2 * 10)
    assert more.evaluations - one.evaluations == chain * len(one.indices)


def test_sentences_that_are_not_closed_are_annealed_again_with_more_chains(pair, split, scored):
    """From two temperatures some bounds are far apart, and of the others nothing changes.

    Four times the chains have a quarter of the squared error. Known from 8 chains of each of five
    sentences, and then from 32, the ratio has a standard error of 0.07.
    """
    options = {"num_random": 20, "num_worst": 4, "settings": replace(TINY, num_chains=8)}
    once = check_with_annealing(*pair, split, scored, close=False, **options)
    again = check_with_annealing(*pair, split, scored, **options)
    closed = once.sandwich.is_closed
    assert 0 < closed.sum() < len(closed)
    assert (once.num_again, again.num_again) == (0, int((~closed).sum()))
    assert torch.equal(again.annealed[closed], once.annealed[closed])
    assert (again.annealed[~closed] != once.annealed[~closed]).all()
    errors = [each.annealed_error[~closed].square().mean() for each in (once, again)]
    assert errors[1] < 0.5 * errors[0]
    assert again.evaluations > once.evaluations


@pytest.mark.parametrize(
    ("mean", "error", "warns", "falls_short"),
    [
        (0.06, 0.019, True, False),
        (0.06, 0.021, False, False),
        (0.04, 0.001, False, False),
        (-0.06, 0.019, False, True),
        (-0.06, 0.021, False, False),
    ],
)
def test_warning_needs_three_errors_and_a_twentieth_of_a_nat(mean, error, warns, falls_short):
    difference = Difference(mean, error, 10)
    assert difference.warns == warns
    assert difference.annealing_falls_short == falls_short


def test_progress_bar_ends_where_it_said(pair, split, scored, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, total, shown, **options):
            self.total, self.done, self.shown = total, 0, shown
            bars.append(self)

        def update(self, count):
            self.done += count

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(annealed_sentences, "progress_bar", Bar)
    for progress in (True, False):
        check_with_annealing(*pair, split, scored, settings=TINY, close=False, progress=progress)
    assert [bar.shown for bar in bars] == [True, False]
    assert [bar.done for bar in bars] == [bar.total for bar in bars] == [24 * 2] * 2


def test_model_without_a_latent_is_refused(pair, tokens):
    batches = [{"tokens": tokens}]
    scored = log_likelihood(*pair, batches, num_samples=2)
    plain = LanguageModel(
        decoder=LSTMDecoder(vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=6)
    )
    with pytest.raises(ValueError, match="its likelihood is exact"):
        check_with_annealing(plain, EmptyGuide(), batches, scored)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_random": 0}, "num_random must be at least 1, got 0"),
        ({"num_worst": 0}, "num_worst must be at least 1, got 0"),
        ({"batches": []}, "the batches have 0 sentences and the likelihood 24"),
    ],
)
def test_nothing_to_check_is_refused(pair, split, scored, arguments, message):
    with pytest.raises(ValueError, match=message):
        check_with_annealing(*pair, **{"batches": split, "likelihood": scored} | arguments)
