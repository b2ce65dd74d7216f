# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json
import math
import subprocess
import sys

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch.distributions import kl_divergence

from pyro_textvae.evaluation import information
from pyro_textvae.guides import EmptyGuide
from tests.evaluation.table_pair import Table, batches_of, standard_normal, table_guide


def test_well_separated_posteriors_reach_the_ceiling():
    guide = table_guide(torch.tensor([[-1e3], [0.0], [1e3]]).double(), 0.5)
    result = information(standard_normal(1), guide, batches_of(3, 2))
    assert result.mutual_information == pytest.approx(math.log(3), abs=1e-12)
    assert result.mutual_information_ceiling == pytest.approx(math.log(3))
    assert result.num_sentences == 3
    assert result.num_draws == 16


def test_equal_posteriors_know_nothing():
    guide = table_guide(torch.zeros(50, 4).double(), 1.0)
    result = information(standard_normal(4), guide, batches_of(50, 7))
    for part in ("kl", "mutual_information", "mutual_information_upper", "aggregate_kl"):
        assert getattr(result, part) == pytest.approx(0.0, abs=1e-12), part
    assert result.total_correlation == pytest.approx(0.0, abs=1e-12)
    assert result.active_units == 0


def test_gaussian_channel_has_its_closed_form_between_the_two_estimates():
    """loc ~ N(0, s^2) in 8 dimensions, z = loc + N(0, 1): I = 4 log(1 + s^2) = 5 nats.

    With 300 sentences the two bounds are half a nat and more apart, each known to 0.02 over 12
    samples of sentences.
    """
    count, dim, truth = 300, 8, 5.0
    spread = math.sqrt(math.exp(truth / 4) - 1)
    generator = torch.Generator().manual_seed(1)
    results = []
    for seed in range(12):
        loc = spread * torch.randn(count, dim, generator=generator).double()
        guide, model = table_guide(loc, 1.0), standard_normal(dim)
        results.append(
            information(model, guide, batches_of(count), seed, num_draws=1, total_correlation=False)
        )
    included = torch.tensor([result.mutual_information for result in results])
    left_out = torch.tensor([result.mutual_information_upper for result in results])
    assert (included + 4.5 * included.std() / math.sqrt(12)).mean() < truth
    assert (left_out - 4.5 * left_out.std() / math.sqrt(12)).mean() > truth
    assert (left_out > included).all()
    mismatch = 0.5 * dim * (spread**2 - math.log1p(spread**2))
    lower = torch.tensor([result.aggregate_kl_lower for result in results])
    upper = torch.tensor([result.aggregate_kl for result in results])
    assert (lower - 4.5 * lower.std() / math.sqrt(12)).mean() < mismatch
    assert (upper + 4.5 * upper.std() / math.sqrt(12)).mean() > mismatch
    torch.testing.assert_close(upper - lower, left_out - included)
    # Away from the ceiling of ln 300 = 5.7 both close in on the truth.
    assert included.mean() > truth - 0.7
    assert left_out.mean() < truth + 1.5


@pytest.mark.parametrize("spread", [0.1, 0.5, 2.0, 30.0])
def test_information_stays_between_nothing_its_ceiling_and_its_upper_bound(spread):
    loc = spread * torch.randn(200, 3, generator=torch.Generator().manual_seed(2)).double()
    result = information(standard_normal(3), table_guide(loc, 0.8), batches_of(200, 50))
    error = 4 * result.mutual_information_standard_error
    assert -error < result.mutual_information < min(result.kl, math.log(200)) + error
    assert result.mutual_information_upper >= result.mutual_information


def test_mini_batches_do_not_cap_the_information():
    """With 1000 separated posteriors a batch of 10 could show no more than ln 10."""
    loc = 100.0 * torch.arange(1000.0).double().unsqueeze(1)
    result = information(standard_normal(1), table_guide(loc, 0.1), batches_of(1000, 10))
    assert result.mutual_information == pytest.approx(math.log(1000), abs=1e-9)


def test_posterior_without_formulas_is_taken_from_its_draws():
    """A flow that only shifts: all but its formulas is a Gaussian's."""

    def flow(rows):
        base = dist.Normal(0.5 * rows.double().unsqueeze(1).expand(-1, 2) - 8, 0.7)
        shift = dist.transforms.AffineTransform(5.0, 1.0)
        return dist.TransformedDistribution(base, [shift]).to_event(1)

    def same(rows):
        return dist.Normal(0.5 * rows.double().unsqueeze(1).expand(-1, 2) - 3, 0.7).to_event(1)

    model = standard_normal(2)
    result = information(model, Table(flow), batches_of(30, 8), num_draws=300)
    expected = information(model, Table(same), batches_of(30, 8), num_draws=300)
    assert result.kl == result.sampled_kl
    assert result.kl_per_dimension is None
    # 9000 draws of log q - log p, which varies by 8 nats around its mean.
    assert result.kl == pytest.approx(expected.kl, abs=4.5 * 8 / math.sqrt(9000))
    for part in ("mutual_information", "aggregate_kl", "total_correlation", "dimensionwise_kl"):
        errors = (getattr(r, f"{part}_standard_error") for r in (result, expected))
        gap = getattr(result, part) - getattr(expected, part)
        assert abs(gap) < 4.5 * math.hypot(*errors), part
    assert result.active_units == 2
    # The mean of 100 draws has a variance of its own, of 0.005.
    assert result.unit_variance.tolist() == pytest.approx([18.73] * 2, rel=0.05)


def test_a_latent_class_has_the_information_of_its_table():
    probs = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]).double()
    guide = Table(lambda rows: dist.Categorical(probs[rows]))
    model = Table(lambda rows: dist.Categorical(torch.ones(3).double()))
    result = information(model, guide, batches_of(3, 2), num_draws=500)
    mixture = probs.mean(0)
    truth = (probs * (probs / mixture).log()).sum(1).mean().item()
    error = 4.5 * result.mutual_information_standard_error
    assert result.mutual_information == pytest.approx(truth, abs=error)
    aggregate = (mixture * (mixture * 3).log()).sum().item()
    error = 4.5 * result.aggregate_kl_standard_error
    assert result.aggregate_kl == pytest.approx(aggregate, abs=error)
    assert result.total_correlation is None
    assert result.active_units is None
    assert result.left_out == (
        "the posteriors of latent site 'z' have no mean: it has no active units",
    )


def test_a_real_pair_has_all_its_numbers_on_the_same_seed(pair, tokens):
    model, guide = pair
    first = information(model, guide, [{"tokens": tokens}])
    again = information(model, guide, [{"tokens": tokens}])
    assert first.to_dict() == again.to_dict()
    assert first.to_dict() != information(model, guide, [{"tokens": tokens}], seed=1).to_dict()
    parts = first.mutual_information + first.aggregate_kl
    assert parts == pytest.approx(first.kl, abs=1e-9)
    assert first.kl == pytest.approx(first.kl_per_dimension.sum().item(), abs=1e-12)


def test_single_precision_keeps_the_sums():
    loc = torch.randn(100, 3, generator=torch.Generator().manual_seed(4))
    result = information(standard_normal(3, torch.float32), table_guide(loc, 0.5), batches_of(100))
    parts = result.mutual_information + result.aggregate_kl
    assert parts == pytest.approx(result.sampled_kl, abs=1e-9)
    assert result.sampled_kl == pytest.approx(result.kl, abs=1e-5)
    assert result.unit_variance.dtype == result.kl_per_dimension.dtype == torch.float64


@pytest.mark.parametrize("family", [dist.Normal, dist.Laplace])
def test_kl_of_each_dimension_is_in_closed_form(family):
    loc = torch.tensor([[0.3, -1.0], [2.0, 0.1], [0.0, 0.4]]).double()
    result = information(standard_normal(2), table_guide(loc, 0.6, family), batches_of(3, 2))
    expected = kl_divergence(
        family(loc, torch.full_like(loc, 0.6)), dist.Normal(torch.zeros(2).double(), 1.0)
    )
    assert result.kl_per_dimension.tolist() == pytest.approx(expected.mean(0).tolist(), abs=1e-12)
    assert result.kl == pytest.approx(expected.sum(1).mean().item(), abs=1e-12)


def test_total_correlation_can_be_left_out_without_a_change_to_the_rest():
    loc = torch.randn(60, 3, generator=torch.Generator().manual_seed(4)).double()
    model, guide = standard_normal(3), table_guide(loc, 0.5)
    whole = information(model, guide, batches_of(60)).to_dict()
    cheap = information(model, guide, batches_of(60), total_correlation=False).to_dict()
    absent = {name for name, value in cheap.items() if value != whole[name]}
    names = {"total_correlation", "dimensionwise_kl"}
    assert absent == names | {f"{name}_standard_error" for name in names}
    assert all(cheap[name] is None for name in absent)


def test_nothing_to_read_is_refused():
    with pytest.raises(ValueError, match="no batch"):
        information(EmptyGuide(), EmptyGuide(), [])
    with pytest.raises(ValueError, match="num_draws must be at least 1, got 0"):
        information(EmptyGuide(), EmptyGuide(), batches_of(5), num_draws=0)


def test_a_site_that_the_model_lacks_is_named():
    guide = table_guide(torch.zeros(5, 2), 1.0)
    model = Table(lambda rows: dist.Normal(torch.zeros(2), 1.0).to_event(1), name="code")
    with pytest.raises(ValueError, match="latent sites are code, the guide's z"):
        information(model, guide, batches_of(5))


def test_active_and_borderline_units_are_told_by_the_variance_of_their_means():
    loc = torch.zeros(1000, 5).double()
    for column, variance in [(0, 1 / 3), (2, 1 / 300), (3, 0.012), (4, 0.008)]:
        loc[:, column] = torch.linspace(-1, 1, 1000) * math.sqrt(3 * variance)
    # A large mean takes the digits of a variance that is the difference of two squares.
    result = information(standard_normal(5), table_guide(loc + 1e7, 1.0), batches_of(1000, 100))
    assert result.active_units == 2
    assert result.borderline_units == [3, 4]
    expected = [1 / 3, 0, 1 / 300, 0.012, 0.008]
    assert result.unit_variance.tolist() == pytest.approx(expected, rel=0.01)


def test_without_latents_there_is_no_information():
    result = information(EmptyGuide(), EmptyGuide(), batches_of(5, 5))
    assert result.mutual_information is result.aggregate_kl is result.kl_per_dimension is None
    assert (result.kl, result.num_draws, result.active_units) == (0.0, 0, 0)


class Ladder(PyroModule):
    """top ~ Normal(0, 1); z ~ Normal(3 top, 1), moved by the sentence's ``shift`` in one unit."""

    def __init__(self, shift, of_top=None):
        super().__init__()
        self.shift = shift
        self.of_top = of_top

    def forward(self, tokens):
        rows = tokens[:, 0] - 3
        with pyro.plate("data", len(tokens)):
            top = dist.Normal(torch.zeros(len(tokens), 2).double(), 1.0)
            top = pyro.sample("top", top.to_event(1) if self.of_top is None else self.of_top(top))
            loc = 3.0 * top
            loc = torch.cat([loc[..., :1], loc[..., 1:] + self.shift[rows, None]], -1)
            pyro.sample("z", dist.Normal(loc, 1.0).to_event(1))


@pytest.mark.parametrize("size", [200, 7])
def test_units_of_a_latent_are_not_those_of_the_latents_before_it(size):
    """z moves by 3 with every draw of top, and its mean, over them, with the shift alone."""
    count = 200
    still, shift = torch.zeros(count).double(), torch.linspace(-1.0, 1.0, count).double()
    collapsed = information(Ladder(still), Ladder(still), batches_of(count, size), costly_pairs=0)
    assert collapsed.kl == pytest.approx(0.0, abs=1e-12)
    assert collapsed.active_units == 0
    assert collapsed.unit_variance.max() < 0.01
    one = information(Ladder(still), Ladder(shift), batches_of(count, size), costly_pairs=0)
    assert one.active_units == 1
    # The mean of 1000 draws has a standard deviation of 0.1: 0.008 in this variance.
    truth = [0.0, 0.0, 0.0, shift.var(correction=0).item()]
    assert one.unit_variance.tolist() == pytest.approx(truth, abs=0.03)


def test_units_below_a_flow_and_under_a_prior_of_the_sentence():
    count = 100
    still, shift = torch.zeros(count).double(), torch.linspace(-3.0, 3.0, count).double()

    def flow(base):
        moved = [dist.transforms.AffineTransform(0.0, 1.0)]
        return dist.TransformedDistribution(base, moved).to_event(1)

    found = information(Ladder(still), Ladder(shift, flow), batches_of(count), costly_pairs=0)
    assert found.active_units == 1
    given = information(Ladder(shift), Ladder(shift), batches_of(count, 40))
    assert given.active_units == 0
    assert given.unit_variance.isnan().tolist() == [False, False, True, True]
    assert [text.partition(":")[0] for text in given.left_out] == [
        "the prior of latent site 'z' differs between sentences",
    ]


def test_second_site_without_a_formula_takes_its_kl_from_one_draw():
    class Sites(PyroModule):
        def __init__(self, second):
            super().__init__()
            self.second = second

        def forward(self, tokens):
            standard = dist.Normal(torch.zeros(2).double(), 1.0)
            with pyro.plate("data", len(tokens)):
                pyro.sample("z_1", standard.to_event(1))
                pyro.sample("z_2", self.second(standard).to_event(1))

    shift = dist.transforms.AffineTransform(3.0, 1.0)
    model = Sites(lambda base: base)
    guide = Sites(lambda base: dist.TransformedDistribution(base, [shift]))
    result = information(model, guide, batches_of(400))
    # log q - log p is 3 u + 4.5 for each of two standard normal u, and there are 400 draws.
    assert result.kl == pytest.approx(9.0, abs=4.5 * 3 * math.sqrt(2 / 400))
    assert result.kl_per_dimension is None
    assert result.num_draws == 1


def test_masked_sentences_are_left_out_of_the_kl():
    mask = torch.tensor([True, False, True])
    inner = [standard_normal(2), table_guide(torch.full((3, 2), 3.0).double(), 1.0)]
    model, guide = (pyro.poutine.mask(program, mask) for program in inner)
    result = information(*map(_AsModule, (model, guide)), batches_of(3))
    assert result.kl == pytest.approx(2 * 9.0 / 3)
    assert result.mutual_information is result.kl_per_dimension is None


class _AsModule(PyroModule):
    def __init__(self, program):
        super().__init__()
        self.program = program

    def forward(self, tokens):
        return self.program(tokens=tokens)


def test_plain_values_are_fit_for_a_file():
    loc = torch.tensor([[0.5, 0.1]]).double()
    single = information(standard_normal(2), table_guide(loc, 0.9), batches_of(1)).to_dict()
    assert single["mutual_information"] == pytest.approx(0.0, abs=1e-12)
    assert single["mutual_information_upper"] is None
    assert single["unit_variance"] == [0.0, 0.0]
    text = json.dumps(single, allow_nan=False)
    assert json.loads(text)["num_sentences"] == 1
    once = information(standard_normal(2), table_guide(loc, 0.9), batches_of(1), num_draws=1)
    assert once.mutual_information_upper is once.aggregate_kl_lower is None
    assert math.isnan(once.mutual_information_standard_error)
    assert once.to_dict()["mutual_information_standard_error"] is None


def test_posteriors_that_are_points_have_no_upper_bound():
    loc = torch.arange(6.0).double().reshape(3, 2)
    guide = Table(lambda rows: dist.Delta(loc[rows]).to_event(1))
    result = information(standard_normal(2), guide, batches_of(3, 2))
    assert result.mutual_information == pytest.approx(math.log(3), abs=1e-12)
    assert result.mutual_information_upper == math.inf
    assert result.to_dict()["mutual_information_upper"] is None
    assert result.aggregate_kl_lower is None


@pytest.mark.slow
def test_large_splits_fit_into_a_gigabyte():
    script = """
import resource, torch
from pyro_textvae.evaluation import information
from tests.evaluation.table_pair import batches_of, standard_normal, table_guide
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
loc = torch.randn(8192, 32)
result = information(
    standard_normal(32, torch.float32), table_guide(loc, 0.7), batches_of(8192, 32)
)
assert result.total_correlation is not None
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    unit = 1024 if sys.platform != "darwin" else 1
    assert int(done.stdout) * unit < 1e9
