# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What z knows of a text beyond its source, where it is known in closed form."""

import json
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule

from pyro_textvae.evaluation import information
from pyro_textvae.evaluation.latents.given_source import information_given_source
from pyro_textvae.infer.plates import find_plates
from tests.programs.pairs import TEXT_AND_SOURCE, conditional

NOISE = 0.5


class Numbers(PyroModule):
    """z_1 ~ N(source, 1), z_2 ~ N(z_1, 1) where there are two, x ~ N(z, 0.5^2); x for a text."""

    def __init__(self, sites=1):
        super().__init__()
        self.sites = sites

    def forward(self, source, tokens=None):
        with pyro.plate("data", len(source)):
            z = source
            for number in range(1, self.sites + 1):
                z = pyro.sample(f"z_{number}", dist.Normal(z, 1.0).to_event(1))
            return pyro.sample("x", dist.Normal(z, NOISE).to_event(1), obs=tokens)


class Posterior(PyroModule):
    """The exact posterior of z_1; of two, the exact one of z_2 and then of z_1 given that."""

    def __init__(self, sites=1):
        super().__init__()
        self.sites = sites

    def forward(self, tokens, source):
        with pyro.plate("data", len(tokens)):
            value, variance = tokens, NOISE**2
            for number in range(self.sites, 0, -1):
                before = float(number)  # the prior variance of z_number given the source
                precision = 1 / before + 1 / variance
                loc = (source / before + value / variance) / precision
                value = pyro.sample(f"z_{number}", dist.Normal(loc, precision**-0.5).to_event(1))
                variance = 1.0


class Prior(PyroModule):
    """A guide that does not read the text."""

    def forward(self, source):
        with pyro.plate("data", len(source)):
            pyro.sample("z_1", dist.Normal(source, 1.0).to_event(1))


def batch(size=30):
    generator = torch.Generator().manual_seed(0)
    source, noise = torch.randn(2, size, 1, generator=generator, dtype=torch.float64)
    return {"tokens": source + noise, "source": 5 * source}


@pytest.mark.parametrize("sites", [1, 2])
def test_linear_gaussian_is_between_its_two_bounds(sites):
    """x is N(z, 0.25) and knows of all z what it knows of the last."""
    model, guide = Numbers(sites), Posterior(sites)
    fields = batch()
    plates = find_plates(model, guide, (), fields)
    with torch.no_grad():
        pyro.set_rng_seed(0)
        found = information_given_source(
            model, guide, [fields], plates, num_texts=200, most_sources=30
        )
    truth = 0.5 * math.log(1 + sites / NOISE**2)
    error = 4.5 * found.standard_error
    assert found.mutual_information - error < truth < found.upper + error
    assert found.upper - found.mutual_information < 0.1
    assert found.standard_error < 0.02
    assert found.ceiling == math.log(200)


@pytest.mark.parametrize("sites", [1, 2])
def test_number_stands_beside_those_that_the_source_would_be_counted_in(sites):
    found = information(Numbers(sites), Posterior(sites), [batch()])
    truth = 0.5 * math.log(1 + sites / NOISE**2)
    given = found.given_source
    error = 4.5 * given.standard_error
    assert given.mutual_information - error < truth < given.upper + error
    assert found.mutual_information is found.aggregate_kl is None
    assert found.sites == {}
    assert found.to_dict()["given_source"]["num_sources"] == 30
    json.dumps(found.to_dict(), allow_nan=False)


def test_guide_that_does_not_read_the_text_knows_nothing_of_it():
    """The aggregate over sources, by which it would know 0.5 log(1 + 25) nats, counts those."""
    found = information(Numbers(), Prior(), [batch()])
    assert found.kl == pytest.approx(0.0, abs=1e-12)
    assert found.given_source.mutual_information == pytest.approx(0.0, abs=1e-12)
    assert found.given_source.upper == pytest.approx(0.0, abs=1e-12)
    assert found.active_units is None


def test_texts_of_words():
    found = information(*conditional(), [TEXT_AND_SOURCE]).given_source
    assert 0 < found.mutual_information < found.ceiling
    assert found.num_sources == 4
    assert information(*conditional(), [TEXT_AND_SOURCE], costly_pairs=0).given_source is None
