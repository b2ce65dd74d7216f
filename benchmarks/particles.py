# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A training step of every objective against one of the ELBO with a draw, and against a loop.

``python benchmarks/particles.py [--num-particles 16]``

Network and batch of the usual Penn Treebank configuration: 10,000 types, widths 256 / 256 / 32, 32
sentences of 22 tokens. Steps are taken in turn, and the medians compared: other work on the machine
slows all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import pyro
import torch
from torch import Tensor, nn

from pyro_textvae import infer
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.infer import PerDatumELBO
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.run_folder.environment import describe_environment

SIZES = {"vocab_size": 10_000, "embedding_dim": 256, "hidden_dim": 256}
LATENT_DIM, BATCH, LENGTH = 32, 32, 22
WITH_PARTICLES = (
    "IWAE DReG STL MIWAE PIWAE CIWAE RenyiIWAE ThermodynamicELBO WakeSleep VIMCO".split()
)


def main() -> None:
    """Print one line of JSON for each objective: seconds of a step, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-particles", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    pyro.set_rng_seed(0)
    pyro.enable_validation(False)
    count = options.num_particles
    objectives: dict[str, PerDatumELBO] = {
        "BetaELBO, 1 particle": infer.BetaELBO(),
        "SemiAmortisedELBO, 5 steps": infer.SemiAmortisedELBO(num_steps=5),
        "IWAE, looped": infer.IWAE(count, vectorize_particles=False),
        **{name: getattr(infer, name)(count) for name in WITH_PARTICLES},
    }
    seconds = time_steps(objectives, options.repeats)
    one, looped = seconds["BetaELBO, 1 particle"], seconds["IWAE, looped"]
    print(json.dumps({"num_particles": count, **describe_environment()}))
    for name, value in seconds.items():
        row = {
            "objective": name,
            "seconds": round(value, 3),
            "of_beta_elbo": round(value / one, 2),
            "of_looped_iwae": round(value / looped, 2),
        }
        print(json.dumps(row), flush=True)


def time_steps(objectives: dict[str, PerDatumELBO], repeats: int) -> dict[str, float]:
    """Median seconds of a forward and backward pass of each objective, taken in turn."""
    decoder = LSTMDecoder(**SIZES, latent_dim=LATENT_DIM, max_length=LENGTH)
    model = SentenceVAE(prior=StandardNormal(LATENT_DIM), decoder=decoder)
    guide = GaussianGuide(encoder=LSTMEncoder(**SIZES), latent_dim=LATENT_DIM)
    tokens = torch.randint(4, SIZES["vocab_size"], (BATCH, LENGTH))
    tokens[:, -1] = 2
    taken: dict[str, list[float]] = {name: [] for name in objectives}
    for _ in range(repeats + 1):
        for name, objective in objectives.items():
            taken[name].append(_time_step(objective(model, guide), tokens))
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


def _time_step(loss_module: nn.Module, tokens: Tensor) -> float:
    loss_module.zero_grad(set_to_none=True)
    started = time.perf_counter()
    loss_module(tokens=tokens).backward()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
