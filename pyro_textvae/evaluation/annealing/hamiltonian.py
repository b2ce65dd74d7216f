# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Hamiltonian transitions that leave a density between the guide's and the joint invariant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from pyro_textvae.evaluation.importance.target import Target

# Trajectories of one length come back to where they began when they last a period of the posterior:
# the chains then stand still, and no number of temperatures changes that.
JITTER = (0.4, 1.2)
"""Every trajectory multiplies its step size by a number between these."""
_DRAWS_FOR_SCALE = 256


class PathState(Protocol):
    """Where chains are, for a trajectory along a path of densities f_beta."""

    @property
    def z(self) -> Tensor:
        """``(C, N, D)``."""

    def log_path(self, beta: Any) -> Tensor:
        """log f_beta, ``(C, N)`` float64."""

    def path_gradient(self, beta: Any) -> Tensor:
        """Its gradient with respect to z."""


State = TypeVar("State", bound=PathState)


class ChainState(NamedTuple):
    """Where the chains are: ``z`` and gradients ``(C, N, D)``, log-densities ``(C, N)`` float64."""

    z: Tensor
    log_joint: Tensor
    log_posterior: Tensor
    joint_gradient: Tensor
    posterior_gradient: Tensor

    @property
    def log_ratio(self) -> Tensor:
        """log p(x, z) - log q(z | x)."""
        return self.log_joint - self.log_posterior

    def log_path(self, beta: float) -> Tensor:
        """log f_beta(z) = (1 - beta) log q(z | x) + beta log p(x, z)."""
        return (1 - beta) * self.log_posterior + beta * self.log_joint

    def path_gradient(self, beta: float) -> Tensor:
        """Gradient of ``log_path``."""
        return (1 - beta) * self.posterior_gradient + beta * self.joint_gradient

    def replaced(self, other: ChainState, chosen: Tensor) -> ChainState:
        """The chains of ``other`` where ``chosen`` ``(C, N)``."""
        pairs = zip(self, other, strict=True)
        return ChainState(
            *(
                torch.where(chosen if old.dim() == 2 else chosen.unsqueeze(-1), new, old)
                for old, new in pairs
            )
        )


class HamiltonianTransitions:
    """Hamiltonian Monte Carlo on z, in units of the guide's scale, for all chains at once.

    Every trajectory multiplies its step size by a number of its own from U(0.4, 1.2).

    Source: Neal (2011), MCMC using Hamiltonian dynamics, https://arxiv.org/abs/1206.1901.

    :param posterior: the guide's, ``batch_shape`` ``(N,)`` and ``event_shape`` ``(D,)``; without a
        formula for its scale that of 256 draws is taken.
    """

    def __init__(self, target: Target, posterior: Any, site: str, leapfrog_steps: int) -> None:
        self._target = target
        self._posterior = posterior
        self._site = site
        self._leapfrog_steps = leapfrog_steps
        self._units = _units(posterior)

    def state(self, z: Tensor) -> ChainState:
        """Score ``z`` ``(C, N, D)``."""
        log_joint, gradients = self._target.gradient({self._site: z})
        leaf = z.detach().requires_grad_()
        with torch.enable_grad():
            log_posterior = self._posterior.log_prob(leaf)
            (posterior_gradient,) = torch.autograd.grad(log_posterior.sum(), leaf)
        return ChainState(
            z=z,
            log_joint=log_joint.double(),
            log_posterior=log_posterior.detach().double(),
            joint_gradient=gradients[self._site],
            posterior_gradient=posterior_gradient,
        )

    def move(self, state: ChainState, beta: float, step: Tensor) -> tuple[ChainState, Tensor]:
        """One transition that leaves f_beta invariant, and its acceptance ``(C, N)``.

        :param step: step size of each sentence before jitter, ``(N,)``.
        """
        jitter = torch.empty_like(state.log_ratio).uniform_(*JITTER)
        new, probability = trajectory(
            state,
            beta,
            self.state,
            momentum=torch.randn_like(state.z),
            size=(step * jitter).to(state.z.dtype).unsqueeze(-1),
            units=self._units,
            leapfrog_steps=self._leapfrog_steps,
        )
        return state.replaced(new, torch.rand_like(probability) < probability), probability


def trajectory(
    state: State,
    beta: Any,
    state_at: Callable[[Tensor], State],
    *,
    momentum: Tensor,
    size: Tensor,
    units: Tensor,
    leapfrog_steps: int,
) -> tuple[State, Tensor]:
    """Follow the chains along f_beta; where they end, and the probability to accept it ``(C, N)``.

    :param beta: how far along the path, as the state takes it.
    :param state_at: scores ``z`` ``(C, N, D)``.
    :param momentum: standard normal, ``(C, N, D)``.
    :param size: of a leapfrog step, ``(C, N, 1)``.
    :param units: a matrix ``(N, D, D)`` for each sentence that maps standard normals to the scale
        of z.
    """

    def force(at: State) -> Tensor:
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


def _units(posterior: Any) -> Tensor:
    """A matrix ``(N, D, D)`` for each sentence that maps standard normals to the guide's scale."""
    scale_tril = getattr(posterior, "scale_tril", None)
    if scale_tril is not None:
        return scale_tril.expand(posterior.batch_shape + posterior.event_shape * 2)
    try:
        scale = posterior.stddev
    except NotImplementedError:
        scale = posterior.sample((_DRAWS_FOR_SCALE,)).std(0)
    return torch.diag_embed(scale)
