# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The Gaussian closest to a density, from weighted points and its gradients there."""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 1e-5


def closest_gaussian(
    z: Tensor, gradient: Tensor, log_weights: Tensor, *, full: bool = True
) -> tuple[Tensor, Tensor]:
    r"""Mean ``(N, D)`` and Cholesky factor of the covariance ``(N, D, D)``.

    .. math::
        \Sigma \operatorname{Cov}(g) \Sigma = \operatorname{Cov}(z), \qquad
        \mu = \bar z + \Sigma \bar g

    which minimise the Fisher divergence. Of a density that is Gaussian, D + 1 points give them
    exactly, wherever they are; directions without points have the scale of the coordinates.

    Source: Seyboldt, Carlson and Carpenter (2026), Preconditioning Hamiltonian Monte Carlo by
    minimizing Fisher divergence, https://arxiv.org/abs/2603.18845.

    :param z: points ``(C, N, D)``.
    :param gradient: of the log-density there, ``(C, N, D)``.
    :param log_weights: of the points, ``(C, N)``.
    :param full: whether coordinates may be correlated.
    """
    dtype, dim = z.dtype, z.shape[-1]
    z, gradient = z.double(), gradient.double().nan_to_num(0.0, 0.0, 0.0)
    shares = log_weights.softmax(0).nan_to_num(1.0 / len(z)).unsqueeze(-1)
    mean, slope = (shares * z).sum(0), (shares * gradient).sum(0)
    z, gradient = z - mean, gradient - slope
    tiny = torch.finfo(dtype).tiny ** 0.5
    deviation = (shares * z.square()).sum(0).sqrt() + tiny
    steepness = (shares * gradient.square()).sum(0).sqrt()
    # A coordinate that the density does not depend on has the scale of its points.
    scale = torch.where(steepness > tiny, (deviation / steepness).sqrt(), deviation)
    root = torch.eye(dim, dtype=z.dtype, device=z.device).expand(z.shape[1], dim, dim)
    if full and dim > 1:
        of_z = _covariance(shares, z / scale)
        of_gradient = _covariance(shares, gradient * scale)
        root = torch.linalg.cholesky(_geometric_mean(of_z, of_gradient))
    scale_tril = scale.unsqueeze(-1) * root
    step = torch.einsum("nij,nkj,nk->ni", scale_tril, scale_tril, slope)
    # A point further than the points are from their mean is no better one.
    length = torch.linalg.solve_triangular(scale_tril, step.unsqueeze(-1), upper=False)
    norm = length.squeeze(-1).norm(dim=-1, keepdim=True).clamp(min=1e-12)
    step = step * (dim**0.5 / norm).clamp(max=1.0)
    return (mean + step).to(dtype), scale_tril.to(dtype)


def _covariance(shares: Tensor, values: Tensor) -> Tensor:
    full = torch.einsum("cni,cnj->nij", shares * values, values)
    size = full.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None].clamp(min=1e-6)
    eye = torch.eye(full.shape[-1], dtype=full.dtype, device=full.device)
    return full + _RIDGE * size * eye


def _geometric_mean(a: Tensor, b: Tensor) -> Tensor:
    """The positive matrix S with S b S = a."""
    root, inverse = _powers(b)
    middle, _ = _powers(root @ a @ root)
    mean = inverse @ middle @ inverse
    return 0.5 * (mean + mean.mT)


def _powers(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Its square root, and the inverse of that."""
    values, vectors = torch.linalg.eigh(0.5 * (matrix + matrix.mT))
    values = values.clamp(min=1e-12).sqrt().unsqueeze(-2)
    return (vectors * values) @ vectors.mT, (vectors / values) @ vectors.mT
