# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Estimates given draws of global latents, and their mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class GlobalDraws:
    r"""log p(x | g_m) of every sentence, for M draws g_m of the global latents from the guide.

    .. math::
        p(x) \approx \int p(x \mid g) \, q(g) \, dg \approx \frac{1}{M} \sum_{m=1}^M p(x \mid g_m)

    The draws are those of all sentences together, so that their error does not fall with the number
    of sentences.

    log_px, standard_error
        ``(M, N)`` nats: the estimates given each draw, and their errors by the draws of the
        sentences' own latents.
    kl
        KL(q(g), p(g)) of each global site, nats of the whole corpus: in closed form where one is
        registered, else the mean over the draws.
    identities
        The hashes by which finished sentences were kept in files; none where none was asked for.
    """

    log_px: Tensor
    standard_error: Tensor
    kl: Mapping[str, float]
    identities: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """M."""
        return len(self.log_px)

    @cached_property
    def mean(self) -> Tensor:
        """log of the mean of p(x | g_m), ``(N,)``."""
        return log_mean_exp(self.log_px)

    @cached_property
    def weights(self) -> Tensor:
        """The share of each draw in that mean, ``(M, N)``."""
        return self.log_px.softmax(0)

    @cached_property
    def local_error(self) -> Tensor:
        """Standard error of :attr:`mean` by the draws of the sentences' latents, ``(N,)``."""
        return (self.weights * self.standard_error).square().sum(0).sqrt()

    @cached_property
    def error(self) -> Tensor:
        """Standard error of :attr:`mean` by all draws, ``(N,)``."""
        return torch.fmax(_error_of_mean(self._ratios), self.local_error)

    @cached_property
    def error_of_mean(self) -> float:
        """Standard error, by all draws, of the mean of :attr:`mean` over the sentences."""
        return _error_of_mean(self._ratios.mean(1)).item()

    @property
    def _ratios(self) -> Tensor:
        return self.count * self.weights


def log_mean_exp(values: Tensor) -> Tensor:
    """The logarithm of the mean of exp(``values``) over the first dimension."""
    return values.logsumexp(0) - math.log(len(values))


def part_beyond(error: float, part: float) -> float:
    """What is left of an error without an independent part of it.

    >>> part_beyond(5.0, 3.0), part_beyond(1.0, 3.0)
    (4.0, 0.0)
    """
    return math.sqrt(max(error**2 - part**2, 0.0))


def _error_of_mean(values: Tensor) -> Tensor:
    """Of a mean over the first dimension."""
    return values.std(0) / math.sqrt(len(values))
