# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Annealed importance sampling: log p(x) from below, and on simulated data from above."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_textvae.evaluation.annealing.hamiltonian import ChainState, HamiltonianTransitions
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.infer.running import evaluation_mode

_TARGET_ACCEPTANCE = 0.8
_SIGMOID_RANGE = 4.0
_ADAPTATION_RATE = 1.0
_FIRST_STEP = 1.5
_PILOT_CHAINS = 4
_FEWEST_PILOT_TEMPERATURES = 25


@dataclass(frozen=True)
class AnnealingSettings:
    """How much work is done for each sentence.

    Gradient evaluations: about ``num_chains * num_temperatures * leapfrog_steps``, and a sixth more
    for the pilot run at the default settings.

    :param num_chains: independent chains of a sentence; at least 2, for a standard error.
    :param num_temperatures: steps from the guide to the joint; at least 2.
    :param leapfrog_steps: of each Hamiltonian transition.
    :raises ValueError: for a number that is too small.
    """

    num_chains: int = 8
    num_temperatures: int = 150
    leapfrog_steps: int = 3

    def __post_init__(self) -> None:
        for name, least in (("num_chains", 2), ("num_temperatures", 2), ("leapfrog_steps", 1)):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")

    @property
    def pilot_temperatures(self) -> int:
        """Steps of the pilot run."""
        return max(_FEWEST_PILOT_TEMPERATURES, self.num_temperatures // 3)

    @property
    def pilot_transitions(self) -> int:
        """Transitions of the pilot run, before any other."""
        return self.pilot_temperatures - 1

    @property
    def transitions(self) -> int:
        """Transitions of one run from end to end."""
        return self.num_temperatures - 1


@dataclass(frozen=True)
class AnnealedEstimate:
    """Log p(x) of each of N sentences from C chains; nats, float64.

    log_weights
        ``(C, N)``: the sum over steps of (b_t - b_{t-1}) (log p(x, z) - log q(z | x)).
    acceptance
        Mean probability of acceptance over chains and transitions, ``(N,)``.
    is_upper_bound
        Whether the chains ran from the posterior to the guide.
    """

    log_weights: Tensor
    acceptance: Tensor
    is_upper_bound: bool

    @cached_property
    def log_px(self) -> Tensor:
        """The estimate ``(N,)``, in expectation below log p(x), or above it for an upper bound.

        exp(log_px) is unbiased for p(x); exp(-log_px) is unbiased for 1 / p(x) for an upper bound.
        """
        return self._sign * (self._signed.logsumexp(0) - math.log(len(self._signed)))

    @cached_property
    def standard_error(self) -> Tensor:
        """Standard error of ``log_px`` by the delta method, ``(N,)``.

        The chains of an upper bound begin at one draw from the posterior, so there this is the
        error given that draw; its own error shows between sentences only.
        """
        count = len(self._signed)
        squares = self._signed.softmax(0).square().sum(0)
        return ((squares - 1 / count).clamp(min=0.0) * count / (count - 1)).sqrt()

    @cached_property
    def spread(self) -> Tensor:
        """Standard deviation of the log-weights over chains, ``(N,)``; trust it well below 1."""
        return self.log_weights.std(0)

    @property
    def _sign(self) -> int:
        return -1 if self.is_upper_bound else 1

    @property
    def _signed(self) -> Tensor:
        return self._sign * self.log_weights


class AnnealingPath:
    """The densities f_b = q(z | x)^(1 - b) p(x, z)^b, and Hamiltonian transitions along them.

    The temperatures b are spaced as a sigmoid between -4 and 4, and end in 0 and 1 exactly. A
    transition's step size, in units of the guide's scale, is found for each sentence and
    temperature by a pilot run of few chains, to accept 0.8 of the proposals. It is fixed from then
    on: steps that adapt to the chains they move would not leave f_b invariant, and the estimate
    would be biased. Every trajectory multiplies its step by a number of its own from U(0.4, 1.2).

    Both directions are the same for the same seed, whatever the state of the global generators.

    Source: Neal (2001), Annealed importance sampling, https://arxiv.org/abs/physics/9803008; Wu et
    al. (2017), On the quantitative analysis of decoder-based generative models,
    https://arxiv.org/abs/1611.04273; Grosse et al. (2015), Sandwiching the marginal likelihood
    using bidirectional Monte Carlo, https://arxiv.org/abs/1511.02543; Neal (2011), MCMC using
    Hamiltonian dynamics, https://arxiv.org/abs/1206.1901.

    :param posterior: the guide's, ``batch_shape`` ``(N,)`` and ``event_shape`` ``(D,)``.
    :param site: the name of the latent.
    :param advance: called with the number of sentences after every transition, pilot included.
    :raises ValueError: when the latent is not a vector in R^D.
    """

    def __init__(
        self,
        target: Target,
        posterior: Any,
        site: str = "z",
        settings: AnnealingSettings | None = None,
        *,
        seed: int = 0,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        _check_real_vector(posterior, site)
        self.settings = settings or AnnealingSettings()
        self._model = target.model
        self._posterior = posterior
        self.site = site
        self._seed = seed
        self._advance = advance or (lambda count: None)
        with self._random("pilot"):
            self._transitions = HamiltonianTransitions(
                target, posterior, site, self.settings.leapfrog_steps
            )
            self._steps = self._pilot()

    def forward(self) -> AnnealedEstimate:
        """From the guide's posterior to the joint: a stochastic lower bound of log p(x)."""
        betas = temperatures(self.settings.num_temperatures)
        with self._random("forward"):
            state = self._transitions.state(self._posterior.sample((self.settings.num_chains,)))
            return self._run(state, betas, self._steps, is_upper_bound=False)

    def backward(self, start: Tensor) -> AnnealedEstimate:
        """From exact draws of the posterior p(z | x) to the guide's: a stochastic upper bound.

        :param start: one z for each sentence, ``(N, D)``, simulated together with it; all chains
            begin there. The estimate of 1 / p(x) stays unbiased, but its chains are dependent:
            take its error from the spread over independent sentences.
        """
        betas = temperatures(self.settings.num_temperatures).flip(0)
        with self._random("backward"):
            state = self._transitions.state(start.expand(self.settings.num_chains, *start.shape))
            return self._run(state, betas, self._steps.flip(0), is_upper_bound=True)

    def _random(self, purpose: str) -> Any:
        return evaluation_mode(self._model, self._model, seed_of(self._seed, purpose) % 2**31)

    def _run(
        self, state: ChainState, betas: Tensor, steps: Iterable[Tensor], *, is_upper_bound: bool
    ) -> AnnealedEstimate:
        """Move along the path; a transition at every temperature between the first and the last."""
        start, *between, end = betas.tolist()
        log_weights = torch.zeros_like(state.log_ratio)
        acceptance = log_weights.mean(0)
        before = start
        for beta, step in zip(between, steps, strict=True):
            log_weights = log_weights + (beta - before) * state.log_ratio
            state, probability = self._move(state, beta, step)
            acceptance = acceptance + probability.mean(0) / len(between)
            before = beta
        log_weights = log_weights + (end - before) * state.log_ratio
        return AnnealedEstimate(
            log_weights=(-log_weights if is_upper_bound else log_weights).cpu(),
            acceptance=acceptance.cpu(),
            is_upper_bound=is_upper_bound,
        )

    def _pilot(self) -> Tensor:
        """Step sizes of every transition and sentence, ``(transitions, N)``."""
        betas = temperatures(self.settings.pilot_temperatures)[1:-1]
        state = self._transitions.state(self._posterior.sample((_PILOT_CHAINS,)))
        dim = state.z.shape[-1]
        # At the guide's end of the path, in its units, this is the scale of a good step.
        first = math.log(_FIRST_STEP) - 0.25 * math.log(dim)
        log_step = torch.full_like(state.log_ratio[0], first)
        log_steps = []
        for beta in betas.tolist():
            state, probability = self._move(state, beta, log_step.exp())
            log_step = log_step + _ADAPTATION_RATE * (probability.mean(0) - _TARGET_ACCEPTANCE)
            log_steps.append(log_step)
        stretched = torch.nn.functional.interpolate(
            torch.stack(log_steps, -1).unsqueeze(0),
            size=self.settings.transitions,
            mode="linear",
            align_corners=True,
        )
        return stretched.squeeze(0).T.exp()

    def _move(self, state: ChainState, beta: float, step: Tensor) -> tuple[ChainState, Tensor]:
        self._advance(len(step))
        return self._transitions.move(state, beta, step)


def temperatures(count: int) -> Tensor:
    """b_0 = 0 to b_count = 1, denser at both ends; ``(count + 1,)`` float64."""
    sigmoid = torch.linspace(
        -_SIGMOID_RANGE, _SIGMOID_RANGE, count + 1, dtype=torch.float64
    ).sigmoid()
    return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])


def _check_real_vector(posterior: Any, site: str) -> None:
    support = posterior.support
    base = support
    while isinstance(base, constraints.independent):
        base = base.base_constraint
    if base is not constraints.real or len(posterior.event_shape) != 1:
        raise ValueError(
            f"the guide's posterior of site {site!r} has support {support} and event shape "
            f"{tuple(posterior.event_shape)}: annealing needs one latent in R^D, so leave this "
            "check out"
        )
    if len(posterior.batch_shape) != 1:
        raise ValueError(
            f"the guide's posterior of site {site!r} has batch shape "
            f"{tuple(posterior.batch_shape)}: there must be one for each sentence, (N,)"
        )
