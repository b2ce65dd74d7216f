# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the variance of an estimate of p(x) grows with the number of latents that follow each other.

``python benchmarks/sequential.py OUT.svg [--num-samples K] [--populations P]``

A linear-Gaussian state space model under a guide that is wider than the best, and a little off.
Step by step the variance of the estimate over p(x) is that of P populations of K particles; at once
it is exact, by the Gaussian integral of the squared weights, and so is p(x). Seconds are those of
``log_likelihood`` for one step of one text.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import matplotlib as mpl
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor

mpl.use("svg")
from matplotlib import pyplot as plt

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.proposals import SequentialProposal
from pyro_textvae.evaluation.sequential.particle_filter import Populations, run_filter
from pyro_textvae.evaluation.sequential.step_plan import StepPlan

KEPT, DRIFT, NOISE = 0.5, 0.5, 1.0
FIRST = DRIFT / math.sqrt(1 - KEPT**2)
LENGTHS = (5, 10, 20, 40, 80, 160)
NUM_TEXTS = 3


class Chain(PyroModule):
    """What model and guide share: all steps in one."""

    def num_steps(self, tokens: Tensor) -> int:
        """One for each number."""
        return tokens.shape[1]

    def start(self, tokens: Tensor) -> Tensor:
        """Before the first there is nothing."""
        return tokens.new_zeros(len(tokens))

    def forward(self, tokens: Tensor) -> Tensor:
        """Run them all."""
        with pyro.plate("data", len(tokens)):
            state = self.start(tokens)
            for t in range(self.num_steps(tokens)):
                state = self.step(state, t, tokens)
        return pyro.deterministic("x", tokens, event_dim=1)

    def step(self, state: Tensor, t: int, tokens: Tensor) -> Tensor:
        """One of them."""
        raise NotImplementedError


class Model(Chain):
    """z_t ~ N(0.5 z_t-1, 0.5^2), x_t ~ N(z_t, 1)."""

    def step(self, state: Tensor, t: int, tokens: Tensor) -> Tensor:
        """Draw z_t, and observe x_t."""
        z: Tensor = pyro.sample(f"z_{t}", dist.Normal(KEPT * state, DRIFT if t else FIRST))
        pyro.sample(f"x_{t}", dist.Normal(z, NOISE), obs=tokens[:, t])
        return z


class Guide(Chain):
    """q(z_t | z_t-1, x_t), 1.2 times as wide as the best, and off by a quarter of its scale."""

    def step(self, state: Tensor, t: int, tokens: Tensor) -> Tensor:
        """Draw z_t."""
        before = (DRIFT if t else FIRST) ** -2
        precision = before + NOISE**-2
        loc = (before * KEPT * state + NOISE**-2 * tokens[:, t]) / precision
        scale = precision**-0.5
        z: Tensor = pyro.sample(f"z_{t}", dist.Normal(loc + 0.25 * scale, 1.2 * scale))
        return z


def texts(length: int) -> Tensor:
    """``(NUM_TEXTS, length)`` of the model."""
    noise = torch.randn(2, length, NUM_TEXTS, generator=torch.Generator().manual_seed(0)).double()
    z, columns = FIRST * noise[0, 0], []
    for t in range(length):
        z = KEPT * z + DRIFT * noise[0, t] if t else z
        columns.append(z + NOISE * noise[1, t])
    return torch.stack(columns, 1)


def log_density(program: Chain, z: Tensor, x: Tensor) -> Tensor:
    """log p(x, z) or log q(z | x) of one text, by its trace."""
    values = {f"z_{t}": value.reshape(1) for t, value in enumerate(z)}
    trace = pyro.poutine.trace(pyro.poutine.condition(program, data=values)).get_trace(x[None])
    return trace.log_prob_sum()


def log_integral(function: object, size: int) -> float:
    """log of the integral of exp of a quadratic function of ``size`` numbers."""
    zero = torch.zeros(size, dtype=torch.float64)
    value = function(zero)  # type: ignore[operator]
    gradient = torch.autograd.functional.jacobian(function, zero)
    precision = -torch.autograd.functional.hessian(function, zero)
    shift = 0.5 * gradient @ torch.linalg.solve(precision, gradient)
    volume = 0.5 * (size * math.log(2 * math.pi) - torch.logdet(precision))
    return (value + shift + volume).item()


def exact(x: Tensor) -> tuple[float, float]:
    """log p(x) of one text, and the log of the mean squared weight of the guide over p(x)^2."""
    model, guide = Model(), Guide()
    log_px = log_integral(lambda z: log_density(model, z, x), len(x))
    squared = log_integral(
        lambda z: 2 * log_density(model, z, x) - log_density(guide, z, x), len(x)
    )
    return log_px, squared - 2 * log_px


def estimates(x: Tensor, size: int, number: int) -> Tensor:
    """log of the estimate of each population, of each text; ``(number, NUM_TEXTS)``."""
    batch = {"tokens": x}
    posteriors = Posteriors(Model(), Guide(), batch, 0)
    target = Target(Model(), batch, plates=posteriors.plates)
    plan = StepPlan.of(posteriors)
    assert plan is not None
    populations = Populations((size,) * number, 8)
    columns = []
    for row in range(len(x)):
        torch.manual_seed(row)
        pair = plan.programs(target, posteriors, row, populations.num_particles)
        found = run_filter(*pair, populations, row, resample_below=0.5)
        weights = found.log_weights[: size * number].reshape(number, size)
        columns.append(weights.logsumexp(1) - math.log(size))
    return torch.stack(columns, 1)


def main() -> None:
    """Print the variances, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--num-samples", type=int, default=1000)
    parser.add_argument("--populations", type=int, default=40)
    options = parser.parse_args()
    measured, at_once, seconds = [], [], []
    # What is loaded by the first run is no part of a step.
    warm = {"tokens": texts(2)}
    log_likelihood(Model(), Guide(), [warm], 16, proposal=SequentialProposal())
    print("steps  variance step by step     at once   mean error   seconds a step")
    for length in LENGTHS:
        x = texts(length)
        of_texts = [exact(one) for one in x]
        log_px = torch.tensor([value for value, _ in of_texts], dtype=torch.float64)
        log_squares = torch.tensor([value for _, value in of_texts], dtype=torch.float64)
        started = time.perf_counter()
        pair, batch = (Model(), Guide()), {"tokens": x}
        log_likelihood(*pair, [batch], options.num_samples, proposal=SequentialProposal())
        seconds.append((time.perf_counter() - started) / (NUM_TEXTS * length))
        ratios = (estimates(x, options.num_samples, options.populations) - log_px).exp()
        measured.append((ratios - 1).square().mean().item())
        # The variance of a mean of independent weights.
        at_once.append((log_squares.exp() - 1).mean().item() / options.num_samples)
        print(
            f"{length:5d}  {measured[-1]:21.5f}  {at_once[-1]:10.4g}  {ratios.mean() - 1:11.4f}"
            f"  {seconds[-1]:15.5f}",
            flush=True,
        )
    draw(measured, at_once, seconds, options.num_samples, options.out)


def draw(
    measured: list[float], at_once: list[float], seconds: list[float], count: int, out: Path
) -> None:
    """Variance against length, both axes logarithmic, and seconds of a step."""
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "sequential", "font.size": 9})
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 3.2), layout="constrained")
    left.plot(LENGTHS, measured, marker="o", color="#2166ac", label="step by step, measured")
    left.plot(LENGTHS, at_once, marker="s", color="#b2182b", label="all latents at once, exact")
    through = [measured[0] * length / LENGTHS[0] for length in LENGTHS]
    left.plot(LENGTHS, through, color="#9a9a9a", ls=":", label="in proportion to the steps")
    left.set(xscale="log", yscale="log", xlabel="steps", ylim=(None, 1e4))
    left.set_ylabel(f"variance of estimate / p(x), K = {count}")
    left.legend(fontsize=8)
    right.plot(LENGTHS, [1000 * value for value in seconds], marker="o", color="#2166ac")
    right.set(xscale="log", xlabel="steps", ylabel="milliseconds a step and text", ylim=(0, None))
    for axis in (left, right):
        axis.grid(which="both", color="#e6e6e6", lw=0.5)
        axis.set_xticks(LENGTHS, [str(length) for length in LENGTHS])
        axis.minorticks_off()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
