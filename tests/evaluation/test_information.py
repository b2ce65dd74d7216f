# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule

from pyro_textvae.evaluation import information
from pyro_textvae.evaluation.information import _pairwise_log_prob
from pyro_textvae.guides import EmptyGuide


class TableGuide(PyroModule):
    """The posterior of the sentence that starts with id n + 3 is N(loc[n], scale)."""

    def __init__(self, loc, scale, family=dist.Normal):
        super().__init__()
        self.register_buffer("loc", loc)
        self.scale = scale
        self.family = family

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            loc = self.loc[tokens[:, 0] - 3]
            pyro.sample("z", self.family(loc, torch.full_like(loc, self.scale)).to_event(1))


def batches_of(count, size):
    tokens = torch.stack([torch.arange(count) + 3, torch.full((count,), 2)], 1)
    return [{"tokens": part} for part in tokens.split(size)]


def test_well_separated_posteriors_reach_the_ceiling():
    guide = TableGuide(torch.tensor([[-1e3], [0.0], [1e3]]).double(), 0.5)
    result = information(guide, guide, batches_of(3, 2))
    assert result.mutual_information == pytest.approx(math.log(3), abs=1e-12)
    assert result.mutual_information_ceiling == pytest.approx(math.log(3))
    assert result.num_sentences == 3


def test_equal_posteriors_know_nothing():
    guide = TableGuide(torch.zeros(50, 4).double(), 1.0)
    result = information(guide, guide, batches_of(50, 7))
    assert result.mutual_information == pytest.approx(0.0, abs=1e-12)
    assert result.mutual_information_upper == pytest.approx(0.0, abs=1e-12)
    assert result.active_units == 0


def test_gaussian_channel_has_its_closed_form_between_the_two_estimates():
    """loc ~ N(0, s^2) in 2 dimensions, z = loc + N(0, 1): I = log(1 + s^2) nats."""
    count, spread = 4000, 1.2
    loc = spread * torch.randn(count, 2, generator=torch.Generator().manual_seed(1)).double()
    result = information(TableGuide(loc, 1.0), TableGuide(loc, 1.0), batches_of(count, 500))
    truth = math.log(1 + spread**2)
    # Spread of log q(z|x) - log q(z) is below 1 nat: 0.07 is 4.5 standard errors at N = 4000.
    assert result.mutual_information == pytest.approx(truth, abs=0.07)
    assert result.mutual_information < result.mutual_information_upper
    assert result.mutual_information_upper == pytest.approx(truth, abs=0.08)


def test_mini_batches_do_not_cap_the_information():
    """With 3000 separated posteriors a batch of 10 could show no more than ln 10."""
    loc = 100.0 * torch.arange(3000.0).double().unsqueeze(1)
    guide = TableGuide(loc, 0.1)
    result = information(guide, guide, batches_of(3000, 10))
    assert result.mutual_information == pytest.approx(math.log(3000), abs=1e-9)


def test_matrix_products_agree_with_the_plain_density():
    fn = dist.Normal(torch.randn(40, 3).double(), torch.rand(40, 3).double() + 0.1).to_event(1)
    z = fn.sample()
    torch.testing.assert_close(
        _pairwise_log_prob(fn, z), fn.log_prob(z.unsqueeze(1)), rtol=1e-10, atol=1e-10
    )


def test_posteriors_of_another_family_take_the_plain_density():
    loc = 1e3 * torch.arange(9.0).double().unsqueeze(1)
    guide = TableGuide(loc, 0.7, dist.Laplace)
    result = information(guide, guide, batches_of(9, 4))
    assert result.mutual_information == pytest.approx(math.log(9), abs=1e-12)


def test_posterior_without_a_formula_for_its_mean_is_averaged():
    class FlowGuide(PyroModule):
        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                loc = (tokens[:, :1] - 3.0).expand(-1, 2)
                base = dist.Normal(loc, torch.full_like(loc, 0.01))
                shift = dist.transforms.AffineTransform(5.0, 1.0)
                flow = dist.TransformedDistribution(base, [shift]).to_event(1)
                pyro.sample("z", flow)

    result = information(FlowGuide(), FlowGuide(), batches_of(30, 8))
    assert result.active_units == 2
    variance = torch.arange(30.0).var(correction=0).item()
    assert result.unit_variance.tolist() == pytest.approx([variance] * 2, rel=1e-3)
    assert result.mutual_information == pytest.approx(math.log(30), abs=1e-6)


def test_no_batch_is_refused():
    with pytest.raises(ValueError, match="no batch"):
        information(EmptyGuide(), EmptyGuide(), [])


def test_active_units_are_counted_by_the_variance_of_their_means():
    loc = torch.zeros(1000, 3).double()
    loc[:, 0] = torch.linspace(-1, 1, 1000)
    loc[:, 2] = torch.linspace(-0.1, 0.1, 1000)  # variance 0.0033: below the line of 0.01
    guide = TableGuide(loc, 1.0)
    result = information(guide, guide, batches_of(1000, 100))
    assert result.active_units == 1
    assert result.unit_variance.tolist() == pytest.approx([1 / 3, 0, 1 / 300], rel=0.01)


def test_without_latents_there_is_no_information():
    result = information(EmptyGuide(), EmptyGuide(), batches_of(5, 5))
    assert result.mutual_information is None
    assert result.active_units == 0


def test_two_latent_sites_have_no_single_number():
    class TwoSites(PyroModule):
        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                for name in ("z_1", "z_2"):
                    pyro.sample(name, dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1))

    result = information(TwoSites(), TwoSites(), batches_of(5, 5))
    assert result.mutual_information is None
    assert len(result.unit_variance) == 4
