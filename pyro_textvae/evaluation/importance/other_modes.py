# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the posterior may have modes that the guide has no part in."""

from __future__ import annotations

import math

import torch

from pyro_textvae.evaluation.families import GaussianFamily, GaussianMixtureFamily
from pyro_textvae.evaluation.families.family import tempered
from pyro_textvae.evaluation.families.gaussian_mixture import FARTHEST_UNITS, far_apart
from pyro_textvae.evaluation.importance.pilot import PilotDraws

_FEWEST_EFFECTIVE = 16.0
_FACTOR = 1.2
# In units of the refined guide, for each dimension's square root.
_LONGEST_STEP = 3.0


def other_modes(
    refined: GaussianFamily, pilot: PilotDraws, num_starts: int
) -> GaussianMixtureFamily:
    r"""Gaussians of the refined guide's covariance, a step uphill from likely draws of the prior.

    .. math:: z + \Sigma \nabla_z \log p(x, z)

    is the mode itself where the posterior around it is Gaussian and of the guide's covariance
    :math:`\Sigma`, as modes of one posterior often are nearly. Starts are heavy draws far from one
    another, so that a mode next to which there is a draw is not lost to one with a better draw; a
    fit to the same draws by their weights would see the better one alone. One gradient a start.

    :param pilot: draws, from the prior among others.
    """
    vector = pilot.posteriors.vector
    u = refined.in_own_units(vector.joined(pilot.latents))
    # Of a guide that is a point all draws but its own are infinitely far: they say nothing.
    near = u.abs().amax(-1) < FARTHEST_UNITS
    u = u.where(near.unsqueeze(-1), 0.0)
    log_weights = pilot.log_weights().to(u.dtype).where(near, -torch.inf)
    shares = tempered(log_weights, _FEWEST_EFFECTIVE)
    starts = far_apart(u, shares, num_starts).transpose(0, 1)  # (S, N, D)
    z = refined.from_own_units(starts)
    _, gradients = pilot.target.gradient(vector.apart(z))
    step = refined.gradient_in_own_units(vector.joined(gradients)).nan_to_num(0.0, 0.0, 0.0)
    longest = _LONGEST_STEP * math.sqrt(refined.dim)
    length = step.norm(dim=-1, keepdim=True).clamp(min=longest)
    loc = (starts + step * (longest / length)).transpose(0, 1)
    identity = torch.eye(refined.dim, dtype=u.dtype, device=u.device)
    even = u.new_full(loc.shape[:2], -math.log(num_starts))
    scale_tril = (_FACTOR * identity).expand(*loc.shape, refined.dim)
    return GaussianMixtureFamily(refined, even, loc, scale_tril)
