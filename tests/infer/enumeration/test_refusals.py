# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What cannot be summed over says so by name, and before the text is decoded."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_textvae.errors import UserError
from pyro_textvae.infer import (
    STL,
    AuxiliaryLoss,
    BetaELBO,
    DReG,
    FreeBits,
    MaximumMeanDiscrepancy,
    RenyiIWAE,
)
from tests.infer.enumeration.programs import SUM, Guide, Model, X


class Program(nn.Module):
    """A site "y" of some distribution, and z drawn from N(0, 1) beside it."""

    def __init__(self, fn, infer=SUM, *, inside=True, more=()):
        super().__init__()
        self.fn, self.infer, self.inside, self.more = fn, infer, inside, more

    def forward(self, x):
        if not self.inside:
            pyro.sample("y", self.fn, infer=self.infer)
        with pyro.plate("data", len(x)):
            if self.inside:
                pyro.sample("y", self.fn, infer=self.infer)
            for name, fn in self.more:
                pyro.sample(name, fn, infer=self.infer)


class OfText(Program):
    def forward(self, x):
        super().forward(x)
        with pyro.plate("data", len(x)):
            self.decode(x)

    def decode(self, x):
        raise AssertionError("the text was decoded")


def categorical(size):
    return dist.Categorical(logits=torch.zeros(size).double())


@pytest.mark.parametrize(
    ("fn", "options", "message"),
    [
        (
            categorical(10_000),
            {},
            "'y' is marked enumerate and has 10000 values, and at most 4096 are summed over",
        ),
        (
            categorical(100),
            {"more": [("w", categorical(50))]},
            "'w' is marked enumerate and has 50 values, which makes 5000 with those before it",
        ),
        (dist.Normal(0.0, 1.0), {}, "'y' is marked enumerate, and Normal has no list"),
        (dist.Poisson(2.0), {}, "'y' is marked enumerate, and Poisson has no list"),
        (categorical(3), {"inside": False}, "'y' is marked enumerate and stands outside the plate"),
        (categorical(3), {"infer": {"enumerate": "sequential"}}, "write 'parallel', or train by"),
        (categorical(3), {"infer": SUM | {"num_samples": 4}}, "'y' is marked with num_samples"),
    ],
)
@pytest.mark.parametrize("in_model", [False, True])
def test_what_cannot_be_enumerated(fn, options, message, in_model):
    model = OfText(fn, **options) if in_model else OfText(fn, **{**options, "infer": {}})
    guide = Program(categorical(1), {}) if in_model else Program(fn, **options)
    if in_model:
        guide.forward = lambda x: None
    for objective in (BetaELBO(max_plate_nesting=1), DReG(2, max_plate_nesting=1)):
        with pytest.raises(ValueError, match=message):
            objective.loss(model, guide, X)


def test_objective_with_q_of_y_in_a_doubly_reparameterised_bound():
    message = "'y' is marked enumerate in the guide, and RenyiIWAE cannot sum over it: train by"
    with pytest.raises(ValueError, match=message):
        RenyiIWAE(2, doubly_reparameterised=True)(Model(3), Guide(3))(X)
    # A component that the model alone has is no matter to it.
    model, guide = Model(3, "z apart", mark=True), Guide(3, "z apart", has_y=False)
    RenyiIWAE(2, doubly_reparameterised=True)(model, guide)(X).backward()


class TwoLatents(nn.Module):
    """z_1 is drawn once, z_2 from it for each y."""

    def __init__(self, *, is_guide):
        super().__init__()
        self.is_guide = is_guide
        self.loc = nn.Parameter(torch.zeros(3).double())

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z_1", dist.Normal(self.loc[0].expand_as(x), 1.0))
            y = pyro.sample("y", dist.Categorical(logits=self.loc), infer=SUM)
            z = pyro.sample("z_2", dist.Normal(z + self.loc[y], 1.0))
            if not self.is_guide:
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)


def test_path_between_draws_of_unequal_weights():
    model, guide = TwoLatents(is_guide=False), TwoLatents(is_guide=True)
    message = "draws latent site 'z_2' for each value of 'y' from its draw of 'z_1'"
    with pytest.raises(ValueError, match=message):
        DReG(2)(model, guide)(X)
    STL(2)(model, guide)(X).backward()


def test_constraint_and_auxiliary_loss_that_need_one_draw_of_a_sentence():
    constraint = MaximumMeanDiscrepancy(weight=10.0)
    with pytest.raises(ValueError, match="'z' has one for each value of 'y': take another"):
        BetaELBO(constraint=constraint).loss(Model(3), Guide(3), X)
    with pytest.raises(ValueError, match="DReG has no right gradient for latents that may depend"):
        DReG(2, constraint=FreeBits(1.0))(Model(3), Guide(3))(X)

    class SizeOfTheLatent(AuxiliaryLoss):
        def __init__(self):
            super().__init__(1.0, latent_dims={"z": 1})

        def forward(self, training_pass):
            return self.latents(training_pass).square().sum(-1).mean(0)

    objective = BetaELBO(auxiliaries=[SizeOfTheLatent()])
    with pytest.raises(UserError, match="'z' has one for each value of 'y': leave it out"):
        objective.loss(Model(3), Guide(3), X)
    objective.loss(Model(3, "z apart"), Guide(3, "z apart"), X)


def test_unmarked_site_is_told_that_it_may_be_marked():
    with pytest.raises(ValueError, match="'y' is not reparameterised.*, or mark it infer="):
        BetaELBO()(Model(3), Guide(3, infer={}))(X)
