# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Means of draws, less noisy for what is known about the draws."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_FEWEST_DRAWS = 50


class ControlledMean(NamedTuple):
    """A mean, its standard error over the draws, and the weight of each control ``(C,)``."""

    value: float
    standard_error: float
    coefficients: Tensor


class ControlVariates:
    """Quantities whose true mean is 0, used to take noise out of the means of others.

    The mean of f becomes the intercept of the least squares fit of f to the controls. It is linear
    in f: estimates of f, g and f + g add up to rounding error. With fewer than 50 draws the plain
    mean is taken: the fit would be too close.

    Source: Owen (2013), Monte Carlo theory, methods and examples, section 8.9,
    https://artowen.su.domains/mc/.

    :param controls: ``(S, C)`` for S draws, float64; columns that are not finite are left out.
    :param resolution: columns that vary by less are rounding error, and left out; also the
        relative size below which a combination of columns is.
    """

    def __init__(self, controls: Tensor, resolution: float) -> None:
        draws = len(controls)
        finite = controls.isfinite().all(0)
        controls = controls.where(finite, 0.0)
        self._offset = controls.mean(0)
        centred = controls - self._offset
        spread = centred.square().mean(0).sqrt()
        kept = (spread > resolution) & (draws >= _FEWEST_DRAWS)
        unit = spread.where(kept, torch.inf)
        self._standard = centred / unit
        self._inverse = torch.linalg.pinv(self._standard, rtol=resolution)
        self._unit = unit
        self._freedom = draws - 1 - int(kept.sum())

    def mean(self, values: Tensor) -> ControlledMean:
        """The mean of ``values`` ``(S,)``; the plain one, without an error, if it is not finite."""
        plain = values.mean()
        centred = values - plain
        if not centred.isfinite().all():
            return ControlledMean(plain.item(), math.nan, torch.zeros_like(self._offset))
        weights = self._inverse @ centred
        coefficients = weights / self._unit
        residual = centred - self._standard @ weights
        variance = residual.square().sum().item() / max(self._freedom, 1) / len(values)
        return ControlledMean(
            (plain - coefficients @ self._offset).item(),
            math.sqrt(variance) if self._freedom > 0 else math.nan,
            coefficients,
        )
