# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Closed-form bounds of the KL of one Gaussian to a mixture of Gaussians."""

import torch
from torch.distributions import Independent, Normal, kl_divergence


def kl_upper_bound(q, log_weights, components):
    """-log sum_c weight_c exp(-KL(q, p_c)), in nats.

    Source: Hershey and Olsen (2007), Approximating the Kullback Leibler divergence between Gaussian
    mixture models, their variational bound.
    """
    return -(log_weights - kl_divergence(q, components)).logsumexp(-1)


def kl_lower_bound(q, log_weights, components):
    """-H(q) - log sum_c weight_c N(loc_q; loc_c, variance_q + variance_c): Jensen, in nats."""
    variance = q.base_dist.scale.square() + components.base_dist.scale.square()
    product = Independent(Normal(components.base_dist.loc, variance.sqrt()), 1)
    overlap = (log_weights + product.log_prob(q.base_dist.loc)).logsumexp(-1)
    return -q.entropy() - overlap


def gaussian(loc, scale):
    loc = torch.as_tensor(loc, dtype=torch.float64)
    return Independent(Normal(loc, torch.as_tensor(scale, dtype=torch.float64).expand_as(loc)), 1)
