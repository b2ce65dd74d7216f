# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Information of several latents, together and each, where it is known in closed form."""

import json
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule

from pyro_textvae.evaluation import information
from tests.evaluation.table_pair import batches_of, standard_normal, table_guide
from tests.programs.pairs import hierarchy

COUNT = 400
FIRST, SECOND, SLOPE = 1.0, 2.0, 2.0


class Chain(PyroModule):
    """z_1 ~ N(first_n, 1), z_2 ~ N(2 z_1 + second_n, 1)."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, tokens):
        rows = tokens[:, 0] - 3
        with pyro.plate("data", len(tokens)):
            first = pyro.sample("z_1", dist.Normal(self.first[rows, None], 1.0).to_event(1))
            second = SLOPE * first + self.second[rows, None]
            pyro.sample("z_2", dist.Normal(second, 1.0).to_event(1))


def places(scale, seed):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(COUNT, generator=generator, dtype=torch.float64)
    return scale * (drawn - drawn.mean()) / drawn.std(correction=0)


def channel(signal, noise):
    """Mutual information of a Gaussian and of itself with noise; nats."""
    return 0.5 * math.log(1 + signal / noise)


def between(lower, truth, upper, error):
    assert lower - 4.5 * error < truth < upper + 4.5 * error


def test_linear_gaussian_hierarchy_is_between_its_two_bounds():
    """(z_1, z_2 - 2 z_1) are two channels of their own; z_2 alone is one with more noise."""
    still = torch.zeros(COUNT).double()
    guide = Chain(places(FIRST, 0), places(SECOND, 1))
    found = information(Chain(still, still), guide, batches_of(COUNT, 150), num_draws=4)
    truth = channel(FIRST**2, 1) + channel(SECOND**2, 1)
    between(
        found.mutual_information,
        truth,
        found.mutual_information_upper,
        found.mutual_information_standard_error,
    )
    assert found.mutual_information_upper - found.mutual_information < 0.15
    assert found.mutual_information_standard_error < 0.05
    assert found.mutual_information + found.aggregate_kl == pytest.approx(found.sampled_kl)
    assert found.mutual_information < found.kl
    # Exactly 0.5 a^2 + 0.5 b^2 for means of sentences a and b.
    assert found.kl == pytest.approx(0.5 * (FIRST**2 + SECOND**2), abs=0.2)
    first, second = found.sites.values()
    alone = channel(SLOPE**2 * FIRST**2 + SECOND**2, SLOPE**2 + 1)
    for value, error, expected, below in [
        (first.mutual_information, first.standard_error, channel(FIRST**2, 1), 0.1),
        (first.added, first.added_standard_error, channel(FIRST**2, 1), 0.1),
        (second.added, second.added_standard_error, channel(SECOND**2, 1), 0.1),
        (second.mutual_information, second.standard_error, alone, 0.15),
    ]:
        assert expected - below - 4.5 * error < value < expected + 4.5 * error
    assert first.added + second.added == pytest.approx(found.mutual_information, abs=0.01)
    assert (first.depends_on_others, second.depends_on_others) == (False, True)
    assert found.active_units == 2
    assert found.left_out == ()


def test_collapsed_hierarchy_knows_nothing():
    """Not even where z_2 moves by two with every draw of z_1."""
    still = torch.zeros(50).double()
    found = information(Chain(still, still), Chain(still, still), batches_of(50, 20))
    assert found.mutual_information == pytest.approx(0.0, abs=1e-12)
    assert found.mutual_information_upper == pytest.approx(0.0, abs=1e-12)
    assert found.aggregate_kl == pytest.approx(0.0, abs=1e-12)
    assert found.active_units == 0
    assert found.sites["z_1"].mutual_information == pytest.approx(0.0, abs=1e-12)
    assert found.sites["z_2"].added == pytest.approx(0.0, abs=1e-12)
    # On 16 draws of z_1 for each sentence: below the truth, by no more than their noise.
    assert -0.3 < found.sites["z_2"].mutual_information < 0.01


def test_sites_apart_are_one_vector_in_parts():
    loc = torch.stack([places(FIRST, 0), places(SECOND, 1)], 1)[:60]

    class Apart(PyroModule):
        def __init__(self, loc):
            super().__init__()
            self.loc = loc

        def forward(self, tokens):
            rows = tokens[:, 0] - 3
            with pyro.plate("data", len(tokens)):
                for column in range(2):
                    here = self.loc[rows, column, None]
                    pyro.sample(f"z_{column}", dist.Normal(here, 0.5).to_event(1))

    apart = information(Apart(0 * loc), Apart(loc), batches_of(60, 25), num_draws=20)
    whole = information(
        table_guide(0 * loc, 0.5), table_guide(loc, 0.5), batches_of(60, 25), num_draws=20
    )
    for part in ("mutual_information", "aggregate_kl"):
        errors = (getattr(r, f"{part}_standard_error") for r in (apart, whole))
        gap = getattr(apart, part) - getattr(whole, part)
        assert abs(gap) < 4.5 * math.hypot(*errors), part
    assert apart.kl == pytest.approx(whole.kl)
    assert not any(site.depends_on_others for site in apart.sites.values())
    for column, site in enumerate(apart.sites.values()):
        alone = information(
            standard_normal(1), table_guide(loc[:, column, None], 0.5), batches_of(60), num_draws=20
        )
        error = math.hypot(site.standard_error, alone.mutual_information_standard_error)
        assert abs(site.mutual_information - alone.mutual_information) < 4.5 * error


def test_label_and_what_is_drawn_from_it():
    """z ~ N(3 y, 1) says nothing that y does not."""
    probs = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]).double()

    class Labelled(PyroModule):
        def __init__(self, probs):
            super().__init__()
            self.probs = probs

        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                y = pyro.sample("y", dist.Categorical(self.probs[tokens[:, 0] - 3]))
                pyro.sample("z", dist.Normal(3.0 * y.double().unsqueeze(-1), 1.0).to_event(1))

    pair = Labelled(torch.full((3, 3), 1 / 3).double()), Labelled(probs)
    found = information(*pair, batches_of(3, 2), num_draws=500)
    mixture = probs.mean(0)
    truth = (probs * (probs / mixture).log()).sum(1).mean().item()
    error = 4.5 * found.mutual_information_standard_error
    assert found.mutual_information == pytest.approx(truth, abs=error)
    assert found.sites["y"].added == pytest.approx(found.mutual_information)
    assert found.sites["z"].added == pytest.approx(0.0, abs=1e-9)
    assert 0 < found.sites["z"].mutual_information < truth + error
    aggregate = (mixture * (mixture * 3).log()).sum().item()
    error = 4.5 * found.aggregate_kl_standard_error
    assert found.aggregate_kl == pytest.approx(aggregate, abs=error)


def test_real_hierarchy_on_fewer_draws_than_sentences(tokens):
    batch = {"tokens": tokens.repeat(25, 1)}
    model, guide = hierarchy()
    found = information(model, guide, [batch], costly_pairs=2000)
    # 100 sentences, and 20 draws under each of them; four different ones.
    assert 0 <= found.mutual_information < math.log(4) + 0.1
    assert set(found.sites) == {"topic", "z"}
    assert found.to_dict()["sites"]["z"]["depends_on_others"] is True
    json.dumps(found.to_dict(), allow_nan=False)
    again = information(model, guide, [batch], costly_pairs=2000)
    assert again.to_dict() == found.to_dict()


def test_what_is_too_costly_is_left_out():
    still = torch.zeros(20).double()
    found = information(Chain(still, still), Chain(still, still), batches_of(20), costly_pairs=0)
    assert found.mutual_information is found.sampled_kl is None
    assert found.sites == {}
    assert found.left_out == (
        "the latents are 2 sites ('z_1', 'z_2'), and their mutual information and the parts of the "
        "KL are left out: costly_pairs is 0",
    )


class Standard(PyroModule):
    """z_1 ~ N(0, 1) and z_2, a standard normal vector that may be moved by a flow."""

    def __init__(self, flows=()):
        super().__init__()
        self.flows = torch.nn.ModuleList(flows)

    def forward(self, tokens):
        zero = torch.zeros(len(tokens), 2).double()
        with pyro.plate("data", len(tokens)):
            pyro.sample("z_1", dist.Normal(zero, 1.0).to_event(1))
            fn = dist.Normal(zero, 1.0).to_event(1)
            pyro.sample(
                "z_2", dist.TransformedDistribution(fn, [*self.flows]) if self.flows else fn
            )


def test_flow_without_an_inverse_is_left_out():
    guide = Standard([dist.transforms.planar(2)]).double()
    found = information(Standard(), guide, batches_of(5))
    assert found.kl is not None
    assert found.mutual_information is None
    assert "'z_2' has a density for its own draws alone" in found.left_out[0]
