# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs with exact bounds and gradients, and the quadrature that has them.

Every datum has parameters of its own, so that a batch of copies of one datum is as many independent
replicates of bound and gradient, at one backward pass.
"""

import math

import numpy
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_textvae.infer import PerDatumELBO

X = 1.3
# Linear-Gaussian with one latent: z ~ N(0, 1), x | z ~ N(z + shift, 1), q = N(.2, e^{-.1}).
LOG_PX = -1.6880121234846455
# d/d(loc, log scale of the guide, shift of the model), by Gauss-Hermite quadrature.
GRADIENT = {
    "elbo": (0.9, -0.63746, 1.1),
    "iwae_2": (0.37161, -0.11748, 0.83580),
    "renyi_2": (0.57393, -0.28480, 0.93696),
    "thermodynamic": (0.31297, -0.13747, 0.80648),
}
BOUND = {
    "elbo": -1.962669,
    "iwae_2": -1.789978,
    "renyi_2": -1.862643,
    "thermodynamic": -1.786002,
}


class ScriptedNormal(dist.Normal):
    """Draws at given standard noise, ``(K, N)``, or one row of it after another."""

    def __init__(self, loc, scale, noise, validate_args=None):
        super().__init__(loc, scale, validate_args=validate_args)
        self.noise = noise

    def expand(self, batch_shape, _instance=None):
        batch_shape = torch.Size(batch_shape)
        return type(self)(self.loc.expand(batch_shape), self.scale.expand(batch_shape), self.noise)

    def rsample(self, sample_shape=()):
        return self.loc + self.scale * self.noise


class ScoredNormal(dist.Normal):
    """A Gaussian that passes for one without reparameterisation."""

    has_rsample = False


class ChainModel(nn.Module):
    """z_1 -> z_2 -> ... -> x, all Gaussian: z_j ~ N(slope z_(j-1), 1), x ~ N(z_L + shift, 1)."""

    def __init__(self, size, num_latents=1):
        super().__init__()
        self.num_latents = num_latents
        self.shift = nn.Parameter(torch.zeros(size).double())
        if num_latents > 1:
            self.slope = nn.Parameter(torch.full((num_latents - 1, size), 0.8).double())

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z_1", dist.Normal(torch.zeros_like(x), 1.0))
            for j in range(1, self.num_latents):
                z = pyro.sample(f"z_{j + 1}", dist.Normal(self.slope[j - 1] * z, 1.0))
            pyro.sample("x", dist.Normal(z + self.shift, 1.0), obs=x)


class ChainGuide(nn.Module):
    """Gaussian latents in any order, each linear in all that are drawn before it.

    :param noise: ``{site: (K, N)}`` to draw with; for a pass a row, ``{site: iterator of (N,)}``.
    """

    def __init__(self, size, num_latents=1, *, backwards=False, family=dist.Normal, noise=None):
        super().__init__()
        self.order = list(range(num_latents))[:: -1 if backwards else 1]
        self.family, self.noise = family, noise
        steps = torch.arange(num_latents).double()[:, None]
        self.loc = nn.Parameter((0.2 + 0.3 * steps).repeat(1, size))
        self.log_scale = nn.Parameter((-0.1 - 0.15 * steps).repeat(1, size))
        if num_latents > 1:
            pairs = num_latents * (num_latents - 1) // 2
            slopes = 0.35 + 0.1 * torch.arange(pairs).double()[:, None]
            self.slope = nn.Parameter(slopes.repeat(1, size))

    def forward(self, x):
        drawn = []
        with pyro.plate("data", len(x)):
            for j in self.order:
                loc, scale = self.posterior(j, drawn)
                drawn.append(pyro.sample(f"z_{j + 1}", self.distribution(j, loc, scale)))

    def posterior(self, j, drawn):
        """Of latent ``j``, given those drawn before it in the guide's order."""
        first = len(drawn) * (len(drawn) - 1) // 2
        loc = self.loc[j]
        for place, z in enumerate(drawn):
            loc = loc + self.slope[first + place] * z
        return loc, self.log_scale[j].exp()

    def distribution(self, j, loc, scale):
        if self.noise is None:
            return self.family(loc, scale)
        noise = self.noise[j]
        return ScriptedNormal(loc, scale, noise if isinstance(noise, Tensor) else next(noise))


def gradients(objective, model, guide, x):
    """What the objective would climb by: one row a scalar parameter, one column a datum.

    The guide's rows come first: loc, log scale, slopes; then the model's shift and slopes.
    """
    parameters = [*guide.parameters(), *model.parameters()]
    found = torch.autograd.grad(-objective(model, guide)(x), parameters)
    return torch.cat([row.reshape(-1, len(x)) for row in found])


def gradient_samples(objective, size, num_latents=1, **options):
    """Independent gradients of one datum, ``(parameters, size)``."""
    model, guide = ChainModel(size, num_latents), ChainGuide(size, num_latents, **options)
    return gradients(objective, model, guide, torch.full((size,), X).double())


def expected_gradient(objective, num_latents=1, *, points, **options):
    """The mean of an objective's gradient over its noise, by Gauss-Hermite quadrature."""
    count = objective.num_particles
    nodes, weights = gauss_hermite(points, num_latents * count)
    noise = nodes.T.reshape(num_latents, count, -1)
    samples = gradient_samples(objective, len(weights), num_latents, noise=noise, **options)
    return samples @ weights


def exact_gradient(bound, num_latents=1, *, num_particles, points, **options):
    """Of the mean of ``bound(log_weights, quadrature weights)``, by automatic differentiation.

    ``bound`` maps ``(K, nodes)`` and ``(nodes,)`` to a number.
    """
    nodes, weights = gauss_hermite(points, num_latents * num_particles)
    noise = nodes.T.reshape(num_latents, num_particles, -1)
    model = ChainModel(1, num_latents)
    guide = ChainGuide(1, num_latents, noise=noise, **options)
    x = torch.full((1,), X).double().expand(len(weights))
    log_weights = PerDatumELBO(num_particles).terms(model, guide, x).log_weights
    value = bound(log_weights, weights)
    found = torch.autograd.grad(value, [*guide.parameters(), *model.parameters()])
    return value.item(), torch.cat([row.flatten() for row in found])


def gauss_hermite(points, dimensions):
    """Nodes ``(points ** dimensions, dimensions)`` and weights of a standard normal."""
    one, weight = (torch.from_numpy(a) for a in numpy.polynomial.hermite_e.hermegauss(points))
    nodes = torch.cartesian_prod(*[one] * dimensions).reshape(-1, dimensions)
    weights = torch.cartesian_prod(*[weight] * dimensions).reshape(-1, dimensions).prod(1)
    return nodes, weights / math.sqrt(2 * math.pi) ** dimensions


def mean_of_importance_bound(log_weights, weights):
    """E log mean_k w_k."""
    return ((log_weights.logsumexp(0) - math.log(len(log_weights))) * weights).sum()


def mean_of_renyi_bound(alpha):
    """E log (mean_k w_k^(1 - alpha)) / (1 - alpha)."""

    def bound(log_weights, weights):
        return mean_of_importance_bound((1 - alpha) * log_weights, weights) / (1 - alpha)

    return bound


def thermodynamic_bound(betas):
    """sum_j width_j E_(pi_beta_j) log w, with expectations by quadrature under the guide."""

    def bound(log_weights, weights):
        total = 0.0
        for beta, end in zip(betas, [*betas[1:], 1.0], strict=True):
            path = weights * (beta * log_weights[0]).exp()
            total = total + (end - beta) * (path * log_weights[0]).sum() / path.sum()
        return total

    return bound


def z_scores(samples, exact):
    """Standard errors between the mean of each row and its exact value."""
    error = samples.std(-1) / math.sqrt(samples.shape[-1])
    return ((samples.mean(-1) - torch.as_tensor(exact)) / error).abs()
