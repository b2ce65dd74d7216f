# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A step uphill from draws of the prior, on posteriors that are Gaussian or have four modes."""

import math

import pytest
import torch

from pyro_textvae.evaluation.families import GaussianFamily
from pyro_textvae.evaluation.importance import other_modes as module
from pyro_textvae.evaluation.importance.other_modes import other_modes
from pyro_textvae.evaluation.importance.pilot import PilotDraws
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.proposal import ProposalTask
from pyro_textvae.evaluation.importance.target import Target
from tests.evaluation.linear_gaussian import LinearGaussian
from tests.evaluation.replicates import TableGuide, diagonal
from tests.evaluation.test_auto import Folded, replicates


def prior_draws(model, guide, batch, count=40):
    """Pilot draws from the prior alone, and the guide's posteriors."""
    posteriors = Posteriors(model, guide, batch, 0)
    target = Target(model, batch, plates=posteriors.plates)
    task = ProposalTask.of(target, posteriors, count)
    pilot = PilotDraws(target, posteriors)
    pilot.add([(task.prior, count)])
    return pilot, task.guide


@pytest.fixture
def gaussian():
    """Draws for six posteriors that are Gaussian, and these, as scale and half its own units."""
    model = LinearGaussian(2).eval()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).double()
    exact = model.posterior(x)
    loc, scale_tril = exact.loc.detach(), exact.scale_tril.detach()
    guide = TableGuide(diagonal, loc, torch.ones_like(loc))
    pilot, _ = prior_draws(model, guide, {"tokens": x, "number": torch.arange(6)})
    half = torch.full_like(loc, math.log(0.5))
    return pilot, loc, GaussianFamily(loc + 0.4, 2 * scale_tril, torch.ones_like(loc), half)


def ends_of(modes):
    """Where the steps end, ``(S, N, D)``."""
    return modes.base.from_own_units(modes.loc.transpose(0, 1))


def test_step_ends_at_the_mode_of_a_gaussian(gaussian, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_STEP", 100.0)
    pilot, loc, refined = gaussian
    modes = other_modes(refined, pilot, 3)
    torch.testing.assert_close(ends_of(modes), loc.expand(3, 6, 2))
    torch.testing.assert_close(modes.log_weights.exp(), torch.full((6, 3), 1 / 3).double())
    assert pilot.target.costs.tolist() == [40 + 3 * 3] * 6


def test_step_is_no_longer_than_three_scales_in_each_dimension(gaussian):
    pilot, loc, refined = gaussian
    starts = refined.in_own_units(pilot.latents["z"])
    # By units that are too large a step would go far beyond the mode.
    large = refined.widened(30.0)
    ends = other_modes(large, pilot, 3).loc.transpose(0, 1)
    steps = torch.cdist(ends.transpose(0, 1), (starts / 30).transpose(0, 1))
    longest = 3 * 2**0.5
    assert ((steps - longest).abs().amin(-1) < 1e-6).any()
    assert (steps.amin(-1) < longest + 1e-6).all()


def test_four_modes_have_starts_that_lead_to_them(tokens):
    """The guide knows of one. From the eight heaviest draws, near or not, fewer are come to."""
    model, batch = Folded(2), replicates(tokens[:1], 200)
    pilot, guide = prior_draws(model, model.guide_of_one_mode(), batch)
    ends = ends_of(other_modes(guide, pilot, 8))
    mode = 2 / (1 + 0.3**2)
    signs = torch.cartesian_prod(*[torch.tensor([-mode, mode]).double()] * 2)
    near = (ends.unsqueeze(2) - signs).abs().amax(-1) < 0.3  # (S, N, 4)
    assert near.any(0).double().mean() > 0.97


def test_guide_that_is_a_point_leaves_nothing_undefined(tokens):
    model, batch = Folded(2), replicates(tokens[:1], 2)
    pilot, guide = prior_draws(model, model.guide_of_one_mode(), batch)
    # In its units all draws but its own are infinitely far.
    modes = other_modes(guide.widened(1e-310), pilot, 4)
    assert modes.loc.isfinite().all()
