# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the encoder's gradient drowns in its noise with more particles, and how it does not."""

import numpy
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_textvae.infer import IWAE, MIWAE, STL, BetaELBO, DReG, RenyiIWAE
from tests.infer.exact import gradient_samples

COUNTS = (8, 32, 128, 512)
ROWS_OF_GUIDE = 2


def slope(signal_to_noise):
    """Of the logarithm over that of K, by least squares."""
    return numpy.polyfit(numpy.log(COUNTS), numpy.log(signal_to_noise), 1)[0]


def test_noise_of_the_plain_gradient_grows_beside_the_doubly_reparameterised_one():
    """Their ratio grows as K where both have the same mean: a factor of 16, of which half is asked.

    The linear-Gaussian of the exact gradients, 4000 copies.
    """
    ratio = {}
    for count in (4, 64):
        plain, doubly = (gradient_samples(kind(count), 4000) for kind in (IWAE, DReG))
        ratio[count] = (plain.std(1) / doubly.std(1))[:ROWS_OF_GUIDE]
        # The model's gradient is the same in both, and so is its noise.
        assert plain[2].std() == pytest.approx(doubly[2].std().item(), rel=0.2)
    assert (ratio[4] > 1).all()
    assert (ratio[64] > 8 * ratio[4]).all()


class FreeGuide(nn.Module):
    """The encoder's outputs for each sentence as parameters: a gradient each for each copy."""

    def __init__(self, loc, log_variance):
        super().__init__()
        self.loc, self.log_variance = nn.Parameter(loc), nn.Parameter(log_variance)

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            scale = (0.5 * self.log_variance).exp()
            pyro.sample("z", dist.Normal(self.loc, scale).to_event(1))


def trained(model, guide, tokens):
    """The pair after 200 steps, and its guide's outputs with the mean off by one scale."""
    pyro.set_rng_seed(0)
    loss = BetaELBO(num_particles=8)(model, guide)
    optimizer = torch.optim.Adam(loss.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        loss(tokens=tokens).backward()
        optimizer.step()
    with torch.no_grad():
        features = guide.encoder(tokens)
        loc, log_variance = guide.loc(features), guide.log_variance(features)
        return loc + (0.5 * log_variance).exp(), log_variance + 2 * numpy.log(1.4)


@pytest.mark.slow
def test_slopes_of_signal_to_noise_over_particles(pair, tokens):
    """Mean by DReG, which has the least noise, over the standard deviation over copies.

    32,768 draws of each of four sentences for each K, so DReG's mean has an error of 1/100 or so.
    Slopes of -1/2 and +1/2 in the limit (Rainforth et al. 2018; Tucker et al. 2019).
    """
    model, guide = pair
    loc, log_variance = trained(model, guide, tokens)
    estimators = {
        "plain": IWAE,
        "DReG": DReG,
        "VR": lambda count: RenyiIWAE(count, 0.5),
        "MIWAE": lambda count: MIWAE(count, count // 8),
    }
    found = {name: [] for name in estimators}
    for count in COUNTS:
        copies = 32_768 // count
        free = FreeGuide(loc.repeat(copies, 1), log_variance.repeat(copies, 1))
        batch = tokens.repeat(copies, 1)

        def samples(objective, free=free, batch=batch, copies=copies):
            loss = objective(model, free)(tokens=batch)
            gradient = torch.cat(torch.autograd.grad(loss, list(free.parameters())), -1)
            return gradient.reshape(copies, -1)

        exact = samples(DReG(count)).mean(0).abs()
        for name, make in estimators.items():
            drawn = samples(make(count))
            signal = exact if name in ("plain", "DReG") else drawn.mean(0).abs()
            found[name].append((signal / drawn.std(0)).mean().item())
    assert -0.65 <= slope(found["plain"]) <= -0.3
    assert 0.35 <= slope(found["DReG"]) <= 0.65
    assert slope(found["MIWAE"]) > 0.3
    assert slope(found["VR"]) > 0.3
    assert all(d > 5 * p for p, d in zip(found["plain"], found["DReG"], strict=True))


@pytest.mark.slow
def test_bias_of_sticking_the_landing_does_not_vanish_with_particles():
    """Ratio to the exact gradient on the linear-Gaussian: 1.9 at two particles, growing with K."""
    ratios = []
    for count in (2, 8, 64):
        doubly, sticking = (gradient_samples(kind(count), 40_000).mean(1) for kind in (DReG, STL))
        ratios.append((sticking / doubly)[0].item())
        assert sticking[2].item() == pytest.approx(doubly[2].item(), rel=0.05)
    # Of the mean and of the log scale, at K = 2, 8 and 64, from 131,072 draws: 1.9, 8 and 68.
    assert ratios == pytest.approx([1.9, 8.0, 68.0], rel=0.15)
