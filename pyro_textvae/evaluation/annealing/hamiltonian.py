# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Trajectories of Hamiltonian dynamics under a density of a path."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyro_textvae.evaluation.annealing.particles import Particles

# Trajectories of one length come back to where they began when they last a period of the posterior:
# the chains then stand still, and no number of temperatures changes that.
JITTER = (0.4, 1.2)
"""Every trajectory multiplies its step size by a number between these."""


def trajectory(
    state: Particles,
    beta: Tensor,
    state_at: Callable[[Tensor], Particles],
    *,
    momentum: Tensor,
    size: Tensor,
    units: Tensor,
    leapfrog_steps: int,
) -> tuple[Particles, Tensor]:
    """Follow the chains along f_beta; where they end, and the probability to accept it ``(C, N)``.

    :param beta: how far along the path, ``(N,)``.
    :param state_at: scores ``z`` ``(C, N, D)``.
    :param momentum: standard normal, ``(C, N, D)``.
    :param size: of a leapfrog step, ``(C, N, 1)``.
    :param units: a matrix ``(N, D, D)`` for each sentence that maps standard normals to the scale
        of z.
    """

    def force(at: Particles) -> Tensor:
        return torch.einsum("nij,cni->cnj", units, at.path_gradient(beta))

    start = momentum
    momentum = start + 0.5 * size * force(state)
    new = state
    for remaining in reversed(range(leapfrog_steps)):
        z = new.z + size * torch.einsum("nij,cnj->cni", units, momentum)
        # Where z left the numbers, its momentum is so large, or none, that the end is refused.
        new = state_at(torch.where(z.isfinite().all(-1, keepdim=True), z, state.z))
        momentum = momentum + (1.0 if remaining else 0.5) * size * force(new)
    kinetic = 0.5 * (start.double().square() - momentum.double().square()).sum(-1)
    log_probability = new.log_path(beta) - state.log_path(beta) + kinetic
    return new, log_probability.clamp(max=0.0).exp().nan_to_num(0.0)
