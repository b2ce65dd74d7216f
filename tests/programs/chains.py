# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Latents that follow each other, of models whose log p(x) is known by a recursion."""

import math

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule

KEPT, DRIFT, NOISE = 0.5, 0.5, 1.0
FIRST = DRIFT / math.sqrt(1 - KEPT**2)


class Stepped(PyroModule):
    """All steps in one."""

    def num_steps(self, tokens):
        return tokens.shape[1]

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            state = self.start(tokens)
            for t in range(self.num_steps(tokens)):
                state = self.step(state, t, tokens)
        return pyro.deterministic("x", tokens, event_dim=1)


class GaussianChain(Stepped):
    """z_t ~ N(0.5 z_t-1, 0.5^2), x_t ~ N(z_t, 1), numbers; z_0 from where it stays."""

    def start(self, tokens):
        return tokens.new_zeros(len(tokens))

    def step(self, state, t, tokens):
        z = pyro.sample(f"z_{t}", dist.Normal(KEPT * state, DRIFT if t else FIRST))
        pyro.sample(f"x_{t}", dist.Normal(z, NOISE), obs=tokens[:, t])
        return z


class GaussianChainGuide(Stepped):
    """q(z_t | z_t-1, x_t): the best that is known at t, a little off in place and wider."""

    def start(self, tokens):
        return tokens.new_zeros(len(tokens))

    def step(self, state, t, tokens):
        before = (DRIFT if t else FIRST) ** -2
        precision = before + NOISE**-2
        loc = (before * KEPT * state + NOISE**-2 * tokens[:, t]) / precision
        return pyro.sample(f"z_{t}", dist.Normal(loc + 0.05, 1.1 * precision**-0.5))


def gaussian_chains(size, length, seed=0):
    """x ``(size, length)`` of the model."""
    noise = torch.randn(2, length, size, generator=torch.Generator().manual_seed(seed)).double()
    z, columns = FIRST * noise[0, 0], []
    for t in range(length):
        z = KEPT * z + DRIFT * noise[0, t] if t else z
        columns.append(z + NOISE * noise[1, t])
    return torch.stack(columns, 1)


def kalman_log_px(x):
    """log p(x) of chains ``(N, T)``, by Kalman's recursion."""
    loc, variance = torch.zeros_like(x[:, 0]), torch.full_like(x[:, 0], FIRST**2)
    total = torch.zeros_like(loc)
    for seen in x.unbind(1):
        of_seen = variance + NOISE**2
        total = total + dist.Normal(loc, of_seen.sqrt()).log_prob(seen)
        gain = variance / of_seen
        loc, variance = loc + gain * (seen - loc), (1 - gain) * variance
        loc, variance = KEPT * loc, KEPT**2 * variance + DRIFT**2
    return total


TRANSITIONS = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]]).double()
EMISSIONS = torch.tensor(
    [[0.6, 0.2, 0.1, 0.1], [0.1, 0.1, 0.2, 0.6], [0.1, 0.6, 0.2, 0.1]]
).double()
FIRST_WORD = 4


class HiddenMarkovModel(Stepped):
    """z_t of three states, x_t of the words 4 to 7."""

    def start(self, tokens):
        return torch.zeros(len(tokens), dtype=torch.long)

    def step(self, state, t, tokens):
        z = pyro.sample(f"z_{t}", dist.Categorical(TRANSITIONS[state]))
        word = dist.Categorical(EMISSIONS[z])
        pyro.sample(f"x_{t}", word, obs=tokens[:, t] - FIRST_WORD)
        return z


class HiddenMarkovGuide(Stepped):
    """q(z_t | x_t), for each t by itself, flatter than by Bayes' rule."""

    def start(self, tokens):
        return None

    def step(self, state, t, tokens):
        weights = EMISSIONS[:, tokens[:, t] - FIRST_WORD].T + 0.3
        pyro.sample(f"z_{t}", dist.Categorical(weights))


def forward_log_px(tokens):
    """log p(x) of words ``(N, T)``, by the forward recursion over all states."""
    alpha = TRANSITIONS[0].expand(len(tokens), -1)
    for t, column in enumerate(tokens.unbind(1)):
        alpha = alpha @ TRANSITIONS if t else alpha
        alpha = alpha * EMISSIONS[:, column - FIRST_WORD].T
    return alpha.sum(1).log()


class Plan(PyroModule):
    """z ~ N(0, 1) of the document; z_s ~ N(0.7 z_s-1 + z, 0.5^2), x_s ~ N(z_s, 1).

    As one it has all z_s at one site, a number for each sentence in one vector.
    """

    kept = 0.7

    def start(self, tokens):
        z = pyro.sample("z", dist.Normal(tokens.new_zeros(()), 1.0))
        return {"z": z, "before": tokens.new_zeros(len(tokens))}

    def step(self, state, t, tokens):
        loc = self.kept * state["before"] + state["z"]
        z_s = pyro.sample("z_s", dist.Normal(loc, DRIFT))
        pyro.sample("x_s", dist.Normal(z_s, NOISE), obs=tokens[:, t])
        return {"z": state["z"], "before": z_s}

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            z = pyro.sample("z", dist.Normal(tokens.new_zeros(()), 1.0))
            of_steps = self.of_steps(tokens)
            loc = z.unsqueeze(-1) * of_steps.sum(-1)
            plan = dist.MultivariateNormal(loc, scale_tril=DRIFT * of_steps)
            z_s = pyro.sample("z_s", plan)
            return pyro.sample("x", dist.Normal(z_s, NOISE).to_event(1), obs=tokens)

    def of_steps(self, tokens):
        """What each z_s has of the steps up to it, ``(S, S)``."""
        away = torch.arange(tokens.shape[1]).unsqueeze(1) - torch.arange(tokens.shape[1])
        return (self.kept ** away.clamp(min=0).to(tokens.dtype)).tril()

    def log_px(self, x):
        """The exact log p(x), ``(N,)``."""
        of_steps = self.of_steps(x)
        ones = of_steps.sum(1, keepdim=True)
        covariance = DRIFT**2 * of_steps @ of_steps.T + ones @ ones.T
        covariance = covariance + NOISE**2 * torch.eye(x.shape[1]).double()
        return dist.MultivariateNormal(torch.zeros_like(x[0]), covariance).log_prob(x)


class PlanGuide(PyroModule):
    """q(z | x) near the posterior; q(z_s | z, z_s-1, x_s), the best that is known there."""

    def start(self, tokens):
        z = pyro.sample("z", dist.Normal(0.35 * tokens.mean(-1), 0.3))
        return {"z": z, "before": tokens.new_zeros(len(tokens))}

    def step(self, state, t, tokens):
        loc = Plan.kept * state["before"] + state["z"]
        precision = DRIFT**-2 + NOISE**-2
        loc = (DRIFT**-2 * loc + NOISE**-2 * tokens[:, t]) / precision
        z_s = pyro.sample("z_s", dist.Normal(loc, 1.1 * precision**-0.5))
        return {"z": state["z"], "before": z_s}

    def forward(self, tokens):
        size = tokens.shape[1]
        kept = Plan.kept * NOISE**2 / (NOISE**2 + DRIFT**2)
        with pyro.plate("data", len(tokens)):
            z = pyro.sample("z", dist.Normal(0.35 * tokens.mean(-1), 0.3))
            precision = DRIFT**-2 + NOISE**-2
            away = torch.arange(size).unsqueeze(1) - torch.arange(size)
            of_steps = (kept ** away.clamp(min=0).to(tokens.dtype)).tril()
            inputs = (DRIFT**-2 * z.unsqueeze(-1) + NOISE**-2 * tokens) / precision
            scale = 1.1 * precision**-0.5 * of_steps
            pyro.sample("z_s", dist.MultivariateNormal(inputs @ of_steps.T, scale_tril=scale))


class Whole(PyroModule):
    """A program without its steps, by ``forward`` alone."""

    def __init__(self, program):
        super().__init__()
        self.program = program

    def forward(self, tokens):
        return self.program(tokens)
