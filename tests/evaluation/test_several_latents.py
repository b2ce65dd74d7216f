# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Proposals over several latents of real numbers jointly, against log p(x) in closed form."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.importance.joint_family import PosteriorFamily
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.proposals import (
    AdaptiveProposal,
    AutoProposal,
    GuideProposal,
    MixtureProposal,
    RefinedProposal,
    WidenedProposal,
)
from pyro_textvae.nn import BagOfWordsEncoder
from tests.programs.discrete import TopicGuide, TopicVAE
from tests.programs.hierarchy import HierarchyGuide, HierarchyVAE
from tests.quadrature import SENTENCES, TinyTextModel

DIM = 2
SLOPE, NOISE = 0.8, 0.5


class Ladder(PyroModule):
    """z_1 ~ N(0, I), z_2 ~ N(0.8 z_1, I), a number z_3 ~ N(sum z_2, 1), x ~ N((z_2, z_3), 0.25)."""

    def forward(self, tokens=None, *, size=None):
        zero = torch.zeros(DIM).double()
        with pyro.plate("data", size if tokens is None else len(tokens)):
            first = pyro.sample("z_1", dist.Normal(zero, 1.0).to_event(1))
            second = pyro.sample("z_2", dist.Normal(SLOPE * first, 1.0).to_event(1))
            third = pyro.sample("z_3", dist.Normal(second.sum(-1), 1.0))
            loc = torch.cat([second, third.unsqueeze(-1)], -1)
            return pyro.sample("x", dist.Normal(loc, NOISE).to_event(1), obs=tokens)


class LadderGuide(PyroModule):
    """Too narrow and beside the posterior; ``slope`` is how z_2 depends on the draw of z_1."""

    def __init__(self, slope):
        super().__init__()
        self.slope = slope

    def forward(self, tokens):
        places = tokens[:, :DIM]
        with pyro.plate("data", len(tokens)):
            first = pyro.sample("z_1", dist.Normal(0.2 * places, 0.5).to_event(1))
            loc = 0.7 * places + self.slope * first
            pyro.sample("z_2", dist.Normal(loc, 0.35).to_event(1))
            pyro.sample("z_3", dist.Normal(0.8 * tokens[:, DIM], 0.4))


def log_px(x):
    """The exact log p(x)."""
    second = (SLOPE**2 + 1) * torch.eye(DIM).double()
    sums = second.sum(0, keepdim=True)
    covariance = torch.cat(
        [torch.cat([second, sums.T], 1), torch.cat([sums, sums.sum(1, keepdim=True) + 1], 1)]
    )
    covariance = covariance + NOISE**2 * torch.eye(DIM + 1).double()
    return dist.MultivariateNormal(torch.zeros(DIM + 1).double(), covariance).log_prob(x)


@pytest.fixture(scope="module")
def x():
    pyro.set_rng_seed(0)
    return Ladder()(size=12)


PROPOSALS = {
    "refined": RefinedProposal(),
    "mixture": MixtureProposal(),
    "adaptive": AdaptiveProposal(),
    "auto": AutoProposal(),
    "widened": WidenedProposal(1.5),
}


@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize("name", PROPOSALS)
def test_likelihood_is_exact_and_its_error_smaller_than_the_guides(name, slope, x):
    """Where z_2 depends on z_1 in the guide, and where the guide is one Gaussian."""
    pair, batches = (Ladder(), LadderGuide(slope)), [{"tokens": x}]
    found = log_likelihood(*pair, batches, 400, proposal=PROPOSALS[name])
    by_guide = log_likelihood(*pair, batches, 400)
    z = (found.log_px - log_px(x)) / found.standard_error
    assert (z.abs() < 4.5).all()
    assert found.standard_error.square().mean() < 0.7 * by_guide.standard_error.square().mean()
    if name in ("refined", "mixture"):
        assert (found.standard_error < 0.15).all()
    if name == "auto":
        assert found.settled.double().mean() > 0.9
        # Without annealing, which takes thousands.
        assert found.decoder_evaluations.double().mean() < 1000
    told = slope != 0 and name != "auto"
    assert [("not one Gaussian over all latents" in note) for note in found.notes] == [True] * told


def test_family_is_the_guide_where_its_sites_do_not_depend_on_each_other(x):
    batch = {"tokens": x}
    apart = PosteriorFamily.of(Posteriors(Ladder(), LadderGuide(0.0), batch, 0))
    assert apart.is_exact
    assert apart.family.dim == 2 * DIM + 1
    torch.testing.assert_close(
        apart.family.origin, torch.cat([0.2 * x[:, :DIM], 0.7 * x[:, :DIM], 0.8 * x[:, DIM:]], 1)
    )
    chained = PosteriorFamily.of(Posteriors(Ladder(), LadderGuide(0.3), batch, 0))
    assert not chained.is_exact
    # The mean and the covariance of the chain, by 256 draws.
    errors = (chained.family.origin[:, DIM : 2 * DIM] - 0.76 * x[:, :DIM]) / 0.38
    assert errors.abs().max() < 4.5 / math.sqrt(256)
    covariance = chained.family.scale_tril @ chained.family.scale_tril.mT
    assert covariance[:, 0, DIM].mean() == pytest.approx(0.3 * 0.25, abs=0.01)


def test_sentence_has_its_numbers_in_any_batch(x):
    pair = Ladder(), LadderGuide(0.3)
    options = {"proposal": RefinedProposal(steps=2)}
    whole = log_likelihood(*pair, [{"tokens": x}], 30, **options)
    some = log_likelihood(*pair, [{"tokens": x[[5, 2]]}], 30, **options)
    torch.testing.assert_close(some.log_px, whole.log_px[[5, 2]])


def test_guide_proposal_is_the_guide_itself(x):
    pair, batches = (Ladder(), LadderGuide(0.0)), [{"tokens": x}]
    found = log_likelihood(*pair, batches, 50, proposal=GuideProposal())
    assert found.notes == ()
    with pytest.raises(ValueError, match="quasi-random draws need one latent with a Gaussian post"):
        log_likelihood(*pair, batches, 50, quasi_random=True)


@pytest.mark.parametrize("name", ["refined", "mixture", "auto"])
def test_text_under_a_hierarchy_is_that_of_quadrature(name):
    """z ~ N(b, w w' + 1) where the topic is integrated out: one dimension."""
    pyro.set_rng_seed(0)
    model = HierarchyVAE(TinyTextModel(1), 1).double().eval()
    guide = HierarchyGuide(BagOfWordsEncoder(20, 3, 6), 1).double().eval()
    tokens = SENTENCES
    found = log_likelihood(model, guide, [{"tokens": tokens}], 500, proposal=PROPOSALS[name])
    points = torch.linspace(-12.0, 12.0, 4001, dtype=torch.float64)
    with torch.no_grad():
        variance = model.mean.weight.square().sum() + 1
        prior = dist.Normal(model.mean.bias, variance.sqrt()).log_prob(points)
        score = model.decoder(points[:, None, None].expand(-1, len(tokens), 1)).log_prob(tokens)
    exact = (prior[:, None] + score).logsumexp(0) + (points[1] - points[0]).log()
    assert (((found.log_px - exact) / found.standard_error).abs() < 4.5).all()
    assert (found.standard_error < 0.2).all()


def test_labels_beside_numbers_are_drawn_by_the_guide_and_this_is_said():
    model = TopicVAE(TinyTextModel(1), 1).double().eval()
    guide = TopicGuide(BagOfWordsEncoder(20, 3, 6), 1).double().eval()
    batches = [{"tokens": SENTENCES}]
    found = log_likelihood(model, guide, batches, 50, proposal=RefinedProposal(steps=2))
    (note,) = found.notes
    assert note.startswith("the refined proposal needs latents of real numbers or one with a spher")
    assert "2 latent sites (y, z)" in note
