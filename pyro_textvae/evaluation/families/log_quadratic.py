# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The Gaussian whose log-density is closest to a log-density that is known at some points."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_RIDGE = 3.0
_RIDGES_OF_PRODUCTS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_RIDGE_OF_CONSTANT = 1e-9
_LEAST_PRECISION = 0.1
_MOST_PRECISION = 10.0


def log_quadratic_fit(u: Tensor, log_ratio: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean ``(N, D)`` and Cholesky factor of the covariance ``(N, D, D)``, by ridge regression.

    .. math::
        \log p(u) - \log \mathcal N(u; 0, I) \approx c + a^\top u
            + \sum_i b_i \frac{u_i^2 - 1}{\sqrt 2} + \sum_{i < j} c_{ij} u_i u_j

    Moments of the same points have the noise of their weights, this has that of what is not
    quadratic: of a density that is Gaussian, any points that tell its coefficients give them
    exactly, but for the ridge. That pulls towards the standard normal, and the many products of
    coordinates by as much as tells every point best from the others.

    Source: Richard and Zhang (2007), Efficient high-dimensional importance sampling,
    https://doi.org/10.1016/j.jeconom.2007.02.007.

    >>> u = torch.randn(200, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    >>> goal = torch.distributions.Normal(0.5, 0.8)
    >>> ratio = (goal.log_prob(u) - torch.distributions.Normal(0.0, 1.0).log_prob(u)).sum(-1)
    >>> loc, scale_tril = log_quadratic_fit(u, ratio, torch.full((200, 1), 1 / 200))
    >>> round(loc.mean().item(), 1), round(scale_tril.diagonal(dim1=-2, dim2=-1).mean().item(), 1)
    (0.5, 0.8)

    :param u: points ``(K, N, D)``.
    :param log_ratio: log p less that of a standard normal there, but for a constant, ``(K, N)``.
    :param shares: what each point counts, ``(K, N)``, summing to one over the points.
    """
    dtype, dim = u.dtype, u.shape[-1]
    points, heights = u.double().transpose(0, 1), log_ratio.double().T.unsqueeze(-1)
    number = shares.double().square().sum(0).reciprocal()
    root = (number * shares.double()).nan_to_num(0.0).T.sqrt().unsqueeze(-1)
    # A point that does not count may have any height, infinity too.
    heights = heights.where(root > 0, 0.0)
    squares = (points.square() - 1) / math.sqrt(2)
    # Sentence by sentence: each needs the square of the number of points.
    found = [_dual(*parts) for parts in zip(points, squares, heights, root, strict=True)]
    dual = torch.stack([coefficients for coefficients, _ in found])
    ridge_of_products = dual.new_tensor([ridge for _, ridge in found])[:, None, None]
    slope = (points * dual).sum(1) / _RIDGE
    curvature = math.sqrt(2) * (squares * dual).sum(1) / _RIDGE
    products = points.mT @ (dual * points) / ridge_of_products
    products = products - torch.diag_embed(products.diagonal(dim1=-2, dim2=-1))
    precision = _identity(dim, points) - torch.diag_embed(curvature) - products
    values, vectors = torch.linalg.eigh(precision)
    values = values.clamp(_LEAST_PRECISION, _MOST_PRECISION).unsqueeze(-2)
    covariance = (vectors / values) @ vectors.mT
    loc = (covariance @ slope.unsqueeze(-1)).squeeze(-1)
    # Further out than a typical point, nothing is known of the density.
    length = loc.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    loc = loc * (math.sqrt(dim) / length).clamp(max=1.0)
    return loc.to(dtype), torch.linalg.cholesky(covariance).to(dtype)


def _dual(points: Tensor, squares: Tensor, heights: Tensor, root: Tensor) -> tuple[Tensor, float]:
    """The coefficient of every point ``(K, 1)``, as there are fewer of them than of products.

    With the ridge of the products, by the errors of every point told from all others.
    """
    inner = points @ points.mT
    of_products = 0.5 * (inner.square() - points.square() @ points.square().mT)
    of_others = (inner + squares @ squares.mT) / _RIDGE
    count = len(points)
    system = points.new_zeros((count + 1, count + 1))
    # The last row and column are those of the constant c, whose ridge is next to nothing.
    system[:count, count:] = root
    system[count:, :count] = root.mT
    system[count, count] = -_RIDGE_OF_CONSTANT
    scaled = root * heights
    least, best = math.inf, (torch.zeros_like(scaled), _RIDGES_OF_PRODUCTS[-1])
    for ridge in _RIDGES_OF_PRODUCTS:
        kernel = of_others + of_products / ridge
        system[:count, :count] = root * kernel * root.mT
        system.diagonal()[:count] += 1.0
        inverse = torch.linalg.inv(system)[:count, :count]
        solved = inverse @ scaled
        left_out = (solved.squeeze(-1) / inverse.diagonal()).square().sum().item()
        if left_out < least:
            least, best = left_out, (root * solved, ridge)
    return best


def _identity(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)
