# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Exact values for models with one or two latent dimensions, by quadrature."""

import math

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import AutoregressiveCategorical, Context


class TinyTextModel(nn.Module):
    """p(x_t = v | x_{t-1} = u, z) = softmax(W z + B[u])_v with weights in closed form.

    The network of the reference values in tests: no training, no random number. Its softmax is
    over all ids, so its sentences are a little less than normalised; only scores are taken.
    """

    vocab_size = 20

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        v, u = torch.arange(20.0).double(), torch.arange(20.0).double()
        k = torch.arange(latent_dim).double()
        self.weight = nn.Parameter(1.3 * torch.sin(1.7 * (v[:, None] + 1) * (k + 1)))
        self.bias = 0.8 * torch.cos(0.9 * u[:, None] + 1.1 * v + 0.05 * u[:, None] * v)

    def forward(self, z: Tensor) -> AutoregressiveCategorical:
        return AutoregressiveCategorical(self, z, max_length=12)

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        previous = torch.cat([torch.ones_like(tokens[..., :1]), tokens[..., :-1]], -1)
        scores = (context.z @ self.weight.T).unsqueeze(-2) + self.bias[previous]
        chosen = tokens.expand(scores.shape[:-1]).unsqueeze(-1)
        return scores.log_softmax(-1).gather(-1, chosen).squeeze(-1) * mask


SENTENCES = torch.tensor(
    [
        [5, 9, 5, 2, 0, 0, 0, 0, 0, 0],
        [3, 3, 7, 12, 19, 4, 2, 0, 0, 0],
        [17, 6, 11, 8, 8, 14, 10, 5, 13, 2],
        [2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
LOG_PX_1D = [-10.028177875580, -19.381826643961, -33.913009829644, -3.669784719630]
LOG_PX_2D = [-10.000381662067, -20.359515162680, -34.300263540263, -3.688697479249]


def log_px_by_quadrature(decoder: nn.Module, tokens: Tensor, latent_dim: int) -> Tensor:
    """log p(x) of each sentence under a standard normal prior, by the trapezoid rule."""
    points = torch.linspace(-8.0, 8.0, 2001 if latent_dim == 1 else 101, dtype=torch.float64)
    step = points[1] - points[0]
    grid = torch.cartesian_prod(*[points] * latent_dim).reshape(-1, latent_dim)
    log_prior = -0.5 * grid.square().sum(-1) - 0.5 * latent_dim * math.log(2 * math.pi)
    with torch.no_grad():
        log_likelihood = decoder(grid.unsqueeze(1)).log_prob(tokens)  # (grid, N)
    return (log_prior[:, None] + log_likelihood).logsumexp(0) + latent_dim * step.log()


def elbo_by_quadrature(decoder: nn.Module, tokens: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """The evidence lower bound of each sentence, for Gaussian posteriors over two latents."""
    points = torch.linspace(-8.0, 8.0, 101, dtype=torch.float64)
    standard = torch.cartesian_prod(points, points)  # q's own units: the grid follows it
    log_q = -0.5 * standard.square().sum(-1) - math.log(2 * math.pi)
    weight = log_q.exp() * (points[1] - points[0]) ** 2
    with torch.no_grad():
        z = loc + scale * standard.unsqueeze(1)  # (grid, N, 2)
        log_prior = -0.5 * z.square().sum(-1) - math.log(2 * math.pi)
        log_joint = log_prior + decoder(z).log_prob(tokens)
        log_ratio = log_joint - (log_q.unsqueeze(1) - scale.log().sum(-1))
    return (weight.unsqueeze(1) * log_ratio).sum(0)
