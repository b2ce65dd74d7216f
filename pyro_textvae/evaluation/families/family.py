# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Posteriors of a batch that can be widened, fitted to draws, and refined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_HALVINGS = 25


class Family(ABC):
    """One distribution over z for each of N sentences, all of one kind.

    Draws take a seed for each sentence, so that a sentence's numbers do not depend on the batch it
    is in. Event shapes are ``(D,)``.
    """

    @classmethod
    @abstractmethod
    def of(cls, posterior: Any) -> Family | None:
        """The family of a guide's posterior of ``batch_shape`` ``(N,)``; None if none fits."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of dimensions of z."""

    @abstractmethod
    def sample(
        self, count: int, seeds: Sequence[int], *, quasi_random: bool = False, paired: bool = False
    ) -> Tensor:
        """``(count, N, D)``, with gradients to the parameters where they are asked for.

        :param quasi_random: a randomised low-discrepancy sequence instead of independent draws.
        :param paired: every second draw mirrors the one before at the mean, where the family is
            symmetric: less noise in a gradient.
        :raises ValueError: for ``quasi_random`` in a family that has no such draws.
        """

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z), ``(K, N)``, for ``z`` ``(K, N, D)``."""

    @abstractmethod
    def widened(self, factor: float) -> Family:
        """The same with its scale multiplied by ``factor``."""

    @abstractmethod
    def fitted(self, z: Tensor, weights: Tensor, strength: float) -> Family:
        """The member with the moments of weighted draws, drawn towards this one.

        :param z: ``(K, N, D)``.
        :param weights: ``(K, N)``, summing to one over the draws.
        :param strength: how many draws this member counts for against the effective number.
        """

    @abstractmethod
    def variational(self) -> tuple[list[Tensor], Any]:
        """Free parameters at this member, and what makes a member of such parameters.

        A step of 1 in a parameter is about one posterior standard deviation.
        """

    @abstractmethod
    def rows(self, index: Tensor) -> Family:
        """Those of some of the sentences."""


def effective_number(weights: Tensor) -> Tensor:
    """1 / sum of squared weights, ``(N, 1)``, for weights ``(K, N)`` that sum to one."""
    return weights.square().sum(0).reciprocal().unsqueeze(-1)


def tempered(log_weights: Tensor, fewest: float) -> Tensor:
    """Shares of draws ``(K, N)``: their weights to the largest power that leaves so many effective.

    :param fewest: effective draws, or half of all where that is less.
    """
    wanted = min(fewest, len(log_weights) / 2)
    # Where no draw was possible, all count alike.
    log_weights = log_weights.nan_to_num(-torch.inf, posinf=torch.inf)
    possible = log_weights.amax(0) > -torch.inf
    log_weights = log_weights.where(possible, 0.0).clamp(min=torch.finfo(log_weights.dtype).min / 2)
    low, high = torch.zeros_like(log_weights[0]), torch.ones_like(log_weights[0])
    power = high
    for _ in range(_HALVINGS):
        shares = (power * log_weights).softmax(0)
        enough = effective_number(shares).squeeze(-1) >= wanted
        low, high = torch.where(enough, power, low), torch.where(enough, high, power)
        if enough.all() and (low == 1).all():
            break
        power = torch.where(low == 1, low, 0.5 * (low + high))
    return (low * log_weights).softmax(0)


def seeded_generators(seeds: Sequence[int], device: torch.device) -> list[torch.Generator]:
    """One generator for each sentence."""
    return [torch.Generator(device).manual_seed(seed) for seed in seeds]
