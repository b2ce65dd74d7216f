# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Accuracy, draws, gradients and speed of the von Mises-Fisher distribution, as tables.

``python benchmarks/von_mises_fisher.py [--draws 400000] [--repeats 20]``

Accuracy is the relative error against reference digits (40 digits, by mpmath); beside it that of
the usual formula with SciPy's scaled Bessel functions, where SciPy is there and has a value. Draws
and gradients are in standard errors of the mean. Speed is a step against one of a Gaussian of the
same shape, in turn: other work on the machine slows both. One thread.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import torch
from pyro.distributions import Normal
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_textvae.distributions import HypersphericalUniform, VonMisesFisher, von_mises_fisher_draws
from pyro_textvae.distributions import von_mises_fisher_functions as functions
from pyro_textvae.distributions.sphere import unit_vector
from pyro_textvae.distributions.von_mises_fisher_draws import draw_angle

REFERENCE = Path(__file__).parents[1] / "tests/distributions/von_mises_fisher_reference.json"
DIMS = (2, 8, 32, 128, 512, 1024)
CONCENTRATIONS = (1e-4, 1e-2, 1.0, 10.0, 100.0, 1e3, 1e4, 1e6)
DRAWN = [(2, 1.0), (3, 10.0), (32, 10.5), (50, 35.0), (64, 0.0), (64, 1e4), (128, 50.0), (512, 1e6)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=20)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    accuracy()
    draws(settings.draws)
    gradients(settings.draws)
    rounds()
    speed(settings.repeats)


def accuracy() -> None:
    """Relative errors of the divergence from the uniform, the mean length, and the slope of KL."""
    special: ModuleType | None = None
    if find_spec("scipy") is not None:
        import scipy.special as special
    table = json.loads(REFERENCE.read_text())["values"]
    rows = []
    for row in table["rows"]:
        truth = dict(zip(table["columns"], row, strict=True))
        dim, k = truth["dim"], truth["concentration"]
        if dim not in DIMS or k not in CONCENTRATIONS:
            continue
        slope = k * truth["cosine_variance"]
        cells = []
        for dtype in (torch.float64, torch.float32):
            divergence, found_slope, length = _ours(dim, k, dtype)
            cells += [
                _error(divergence, truth["divergence"]),
                _error(found_slope, slope),
                _error(length, truth["mean_length"]),
            ]
        if special is None:
            cells += ["", ""]
        else:
            divergence, length = _with_scipy(special, dim, k)
            cells += [_error(divergence, truth["divergence"]), _error(length, truth["mean_length"])]
        rows.append([str(dim), f"{k:g}", *cells])
    names = ["float64 KL", "dKL/dk", "A", "float32 KL", "dKL/dk", "A", "SciPy KL", "A"]
    _print("Relative error", ["d", "concentration", *names], rows)


def draws(size: int) -> None:
    """The mean of the cosine and of its square."""
    rows = []
    for dim, concentration in DRAWN:
        k = torch.tensor(concentration).double()
        cosine = draw_angle(k.expand(size), dim).cos()
        mean, variance = functions.mean_length(k, dim), functions.cosine_variance(k, dim)
        square = variance + mean.square()
        rows.append(
            [str(dim), f"{concentration:g}", f"{cosine.mean():.6f}", f"{mean:.6f}"]
            + [f"{_score(cosine, mean):.2f}", f"{_score(cosine.square(), square):.2f}"]
        )
    names = ["d", "concentration", "mean cosine", "exact", "z", "z of its square"]
    _print(f"{size} draws", names, rows)


def gradients(size: int) -> None:
    """d E[cosine] / d concentration, which is the variance of the cosine."""
    rows = []
    for dim in (3, 8, 32, 128):
        for concentration in (1.0, 10.0, 50.0, 200.0, 1000.0):
            k = torch.full((size,), concentration, dtype=torch.float64, requires_grad=True)
            (slopes,) = torch.autograd.grad(draw_angle(k, dim).cos().sum(), k)
            truth = functions.cosine_variance(k.detach()[0], dim)
            off = 100 * (slopes.mean() / truth - 1)
            rows.append(
                [str(dim), f"{concentration:g}", f"{slopes.mean():.6e}", f"{truth:.6e}"]
                + [f"{off:+.3f} %", f"{_score(slopes, truth):.2f}"]
            )
    names = ["d", "concentration", "d E[cosine] / dk", "exact", "off by", "z"]
    _print(f"Gradient of {size} draws", names, rows)


def rounds() -> None:
    """Rounds of rejection for mixed concentrations, and the share accepted in the worst case."""
    propose = von_mises_fisher_draws._propose
    sizes: list[int] = []

    def counted(concentration: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        sizes.append(len(concentration))
        return propose(concentration, dim)

    rows = []
    von_mises_fisher_draws._propose = counted
    try:
        for dim in (2, 64, 1024):
            for what, k in (
                ("1e-2 to 1e6", 10 ** (8 * torch.rand(100_000).double() - 2)),
                ("1e6", torch.full((100_000,), 1e6).double()),
            ):
                sizes.clear()
                draw_angle(k, dim)
                rows.append([str(dim), what, str(len(sizes)), f"{sizes[0] / sum(sizes):.3f}"])
    finally:
        von_mises_fisher_draws._propose = propose
    _print("100000 draws by rejection", ["d", "concentration", "rounds", "accepted"], rows)


def speed(repeats: int) -> None:
    """Milliseconds of a core, 4096 rows of 64 dimensions, float32."""
    loc = unit_vector(torch.randn(4096, 64)).requires_grad_()
    concentration = (10 ** (3 * torch.rand(4096))).requires_grad_()
    scale = torch.ones(4096, 64, requires_grad=True)
    angle = draw_angle(concentration.detach().double(), 64)
    uniform = HypersphericalUniform(64)

    def spherical() -> VonMisesFisher:
        return VonMisesFisher(loc, concentration, validate_args=False)

    def gaussian() -> Tensor:
        return Normal(loc, scale, validate_args=False).rsample().sum()

    def quadrature() -> Tensor:
        return von_mises_fisher_draws.angle_slope(concentration.detach().double(), angle, 64)

    z = spherical().sample()
    steps: dict[str, Callable[[], Tensor]] = {
        "Gaussian rsample": gaussian,
        "rsample": lambda: spherical().rsample().sum(),
        "of that the quadrature": quadrature,
        "log_prob": lambda: spherical().log_prob(z).sum(),
        "KL to the uniform": lambda: kl_divergence(spherical(), uniform).sum(),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.thread_time()
            result = step()
            if result.requires_grad:
                result.backward()
            times[name].append(1e3 * (time.thread_time() - start))
    medians = {name: statistics.median(values) for name, values in times.items()}
    gauss = medians["Gaussian rsample"]
    rows = [[name, f"{value:.2f}", f"{value / gauss:.2f}"] for name, value in medians.items()]
    _print("4096 x 64, forward and backward", ["step", "ms of a core", "Gaussians"], rows)


def _ours(dim: int, concentration: float, dtype: torch.dtype) -> tuple[float, float, float]:
    """Divergence, its slope and mean length by the distribution, of ``dtype``."""
    loc = torch.zeros(dim, dtype=dtype)
    loc[0] = 1.0
    k = torch.tensor(concentration, dtype=dtype, requires_grad=True)
    p = VonMisesFisher(loc, k)
    divergence = kl_divergence(p, HypersphericalUniform(dim))
    (slope,) = torch.autograd.grad(divergence, k)
    return divergence.item(), slope.item(), p.mean[0].item()


def _with_scipy(special: ModuleType, dim: int, k: float) -> tuple[float, float]:
    order = dim / 2 - 1
    bessel = special.ive(order, k)
    if bessel == 0.0 or not math.isfinite(bessel):
        return math.nan, math.nan
    length = special.ive(order + 1, k) / bessel
    cumulant = math.log(bessel) + k - order * math.log(k / 2) + math.lgamma(order + 1)
    return k * length - cumulant, length


def _error(found: float, truth: float) -> str:
    return f"{abs(found / truth - 1):.0e}" if math.isfinite(found) else "no value"


def _score(values: Tensor, truth: Tensor) -> Tensor:
    return (values.mean() - truth) * len(values) ** 0.5 / values.std()


def _print(title: str, names: list[str], rows: Iterable[list[str]]) -> None:
    print(f"\n{title}\n")
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
