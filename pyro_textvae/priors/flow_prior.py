# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A normalising flow as the prior."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms import (
    AffineAutoregressive,
    Permute,
    SplineAutoregressive,
    affine_coupling,
    spline_coupling,
)
from pyro.nn import AutoRegressiveNN
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.inverse_softplus import inverse_softplus

_BINS = 8
# Wider than the 3 of Pyro: outside of it a spline is the identity, and posteriors reach there.
_BOUND = 5.0
# What the last weights of each network are multiplied by at the start.
_START = 0.1
# Splines take softplus of it.
_SLOPE_OF_ONE = inverse_softplus(1.0)
# Pyro's other transforms, which invert only what they have just drawn, or nothing.
_WITHOUT_INVERSE = (
    "batch_norm",
    "block_autoregressive",
    "neural_autoregressive",
    "planar",
    "polynomial",
    "radial",
    "sylvester",
)


class FlowPrior(nn.Module):
    r"""p(z) = N(f(z); 0, I) abs(det df/dz) with an invertible network f, learned.

    .. math::
        p(z) = \mathcal N(f(z); 0, I) \, \Big| \det \frac{\partial f}{\partial z} \Big|

    Called with nothing, returns the distribution. It runs f from z to the noise, as a prior is
    scored at every step of training and drawn from only to generate. Scoring takes one pass of each
    layer; a draw takes one with a coupling flow, and ``latent_dim`` with an autoregressive one. It
    starts close to the standard normal.

    >>> prior = FlowPrior(latent_dim=4, flow="spline_coupling", hidden_dim=8)
    >>> prior().log_prob(torch.zeros(10, 4)).shape
    torch.Size([10])

    Source: Papamakarios et al. (2017), Masked Autoregressive Flow for Density Estimation,
    https://arxiv.org/abs/1705.07057; Dinh et al. (2017), Density Estimation using Real NVP,
    https://arxiv.org/abs/1605.08803; Durkan et al. (2019), Neural Spline Flows,
    https://arxiv.org/abs/1906.04032.

    :param latent_dim: size of z, at least 2.
    :param flow: ``"affine_autoregressive"``, ``"spline_autoregressive"``, ``"affine_coupling"`` or
        ``"spline_coupling"``.
    :param num_flow_layers: of the flow; the order of the dimensions is turned round between two.
    :param hidden_dim: width of the hidden layer of each layer's network, at least ``latent_dim``.
    :raises ValueError: for a smaller size, an unknown flow, or one that cannot score a z that it
        did not draw.
    """

    zero: Tensor
    turned: Tensor

    def __init__(
        self,
        latent_dim: int,
        flow: str = "affine_autoregressive",
        num_flow_layers: int = 2,
        hidden_dim: int = 64,
    ) -> None:
        check_sizes(minimum=2, latent_dim=latent_dim)
        check_sizes(num_flow_layers=num_flow_layers)
        check_sizes(minimum=latent_dim, hidden_dim=hidden_dim)
        make = _maker(flow)
        super().__init__()
        self.latent_dim = latent_dim
        self.flow = flow
        self.num_flow_layers = num_flow_layers
        self.hidden_dim = hidden_dim
        self.layers = nn.ModuleList(make(latent_dim, hidden_dim) for _ in range(num_flow_layers))
        # Buffers, so that the draws follow the module's device and precision.
        self.register_buffer("zero", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("turned", torch.arange(latent_dim).flip(0), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """The distribution, batch shape ``()`` and event shape ``(latent_dim,)``."""
        from_noise: list[Any] = []
        layers: list[Any] = list(self.layers)
        for layer in reversed(layers):
            from_noise += [_without_memory(layer).inv, Permute(self.turned)]
        noise = dist.Normal(self.zero, torch.ones_like(self.zero)).to_event(1)
        # No turn at the end: it would only rename the dimensions of z.
        return dist.TransformedDistribution(noise, from_noise[:-1])


class _AffineAutoregressive(AffineAutoregressive):
    """Pyro's, which cannot be inverted in float64."""

    def _inverse(self, y: Tensor) -> Tensor:
        x = torch.zeros_like(y)
        # Each pass makes one more coordinate right, the first needing none before it.
        for _ in range(y.shape[-1]):
            loc, log_scale = self.arn(x)
            log_scale = log_scale.clamp(self.log_scale_min_clip, self.log_scale_max_clip)
            x = (y - loc) * (-log_scale).exp()
        self._cached_log_scale = log_scale
        return x


def _affine_autoregressive(latent_dim: int, hidden_dim: int) -> TransformModule:
    network = _masked_network(latent_dim, hidden_dim, [1, 1])
    _start(network)
    return _AffineAutoregressive(network)


def _spline_autoregressive(latent_dim: int, hidden_dim: int) -> TransformModule:
    network = _masked_network(latent_dim, hidden_dim, [_BINS, _BINS, _BINS - 1, _BINS])
    _start_splines(network, latent_dim)
    return SplineAutoregressive(latent_dim, network, count_bins=_BINS, bound=_BOUND)


def _affine_coupling(latent_dim: int, hidden_dim: int) -> TransformModule:
    layer = affine_coupling(latent_dim, [hidden_dim])
    _start(layer.nn)
    return layer


def _spline_coupling(latent_dim: int, hidden_dim: int) -> TransformModule:
    layer = spline_coupling(latent_dim, hidden_dims=[hidden_dim], count_bins=_BINS, bound=_BOUND)
    _start_splines(layer.upper_spline.nn, latent_dim - layer.split_dim)
    with torch.no_grad():
        for parameter in layer.lower_spline.parameters():
            parameter.mul_(_START)
        layer.lower_spline.unnormalized_derivatives.add_(_SLOPE_OF_ONE)
    return layer


def _masked_network(latent_dim: int, hidden_dim: int, param_dims: list[int]) -> AutoRegressiveNN:
    order: Any = torch.arange(latent_dim)
    return AutoRegressiveNN(latent_dim, [hidden_dim], param_dims=param_dims, permutation=order)


@torch.no_grad()
def _start(network: Any) -> None:
    """Make a network's outputs small: a layer close to the identity, with a gradient everywhere."""
    for parameter in network.layers[-1].parameters():
        parameter.mul_(_START)


@torch.no_grad()
def _start_splines(network: Any, width: int) -> None:
    """The same for a network whose outputs are the widths, heights and slopes of splines."""
    _start(network)
    network.layers[-1].bias[2 * _BINS * width : (3 * _BINS - 1) * width] += _SLOPE_OF_ONE


_FLOWS: dict[str, Callable[[int, int], TransformModule]] = {
    "affine_autoregressive": _affine_autoregressive,
    "spline_autoregressive": _spline_autoregressive,
    "affine_coupling": _affine_coupling,
    "spline_coupling": _spline_coupling,
}


def _maker(flow: str) -> Callable[[int, int], TransformModule]:
    if flow in _WITHOUT_INVERSE:
        raise ValueError(
            f"flow {flow!r} cannot score a z that it did not draw, which a prior must: use one of "
            f"{', '.join(_FLOWS)}"
        )
    if flow not in _FLOWS:
        near = difflib.get_close_matches(str(flow), _FLOWS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(_FLOWS)}"
        raise ValueError(f"there is no flow {flow!r}: {hint}")
    return _FLOWS[flow]


def _without_memory(transform: TransformModule) -> TransformModule:
    """The same transform, of the same parameters, with a memory of its own for this one use.

    Pyro's keep the last value and its Jacobian: the module could then not be copied, and would
    answer for a value seen before the last training step as it did then.
    """
    fresh = copy.copy(transform)
    fresh._modules = {
        name: _without_memory(part) if isinstance(part, TransformModule) else part
        for name, part in transform._modules.items()
    }
    return fresh
