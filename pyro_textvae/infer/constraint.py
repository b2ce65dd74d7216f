# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a constraint on the KL term is, whatever objective it is joined to."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from pyro_textvae.infer.terms import PerDatumTerms


class KLConstraint(ABC):
    r"""Puts another quantity in the place of the KL term in training.

    An objective with a constraint maximises its bound minus the difference between the two, so
    that it can be joined to any bound; with ``BetaELBO`` this is the published form, the quantity
    itself in the KL's place, times the KL weight. What is reported of a model is always the
    unconstrained bound.

    .. math::
        \mathrm{loss}_n = -\big( \mathrm{bound}_n - \beta \, (C_n - \mathrm{KL}_n) \big)

    >>> import torch
    >>> class HalfTheKL(KLConstraint):
    ...     def __call__(self, terms):
    ...         return 0.5 * terms.total_kl.mean(0)
    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.zeros(1, 2), log_ratio={}, kl={"z": torch.tensor([[1.0, 3.0]])},
    ...     scale=1.0,
    ... )
    >>> HalfTheKL()(terms)
    tensor([0.5000, 1.5000])
    """

    needs_gradient_through_draws = False
    """Whether the constraint is trained through the guide's draws, not through their KL alone."""

    is_of_whole_batch = False
    """Whether it is made of all sentences of a batch, and not of each: where processes share one,
    each then asks for the others' by :func:`~pyro_textvae.shared_batch.whole_batch`."""

    @abstractmethod
    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats for each sentence."""

    def advance(self, terms: PerDatumTerms) -> None:  # noqa: B027 - most have nothing to move
        """Move on by one training step, after ``terms``, which have no gradients."""

    def warnings(self, terms: PerDatumTerms) -> list[str]:
        """What is to be said before training, of programs that have such terms."""
        return []

    def describe(self) -> dict[str, float]:
        """Numbers of its own for the log of a run, such as a multiplier."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take up where ``state_dict`` left off."""


def checked_amount(name: str, value: float) -> float:
    """A number that a constraint takes: finite and not negative.

    >>> checked_amount("nats", -2.0)
    Traceback (most recent call last):
        ...
    ValueError: nats must be finite and not negative, got -2.0

    :raises ValueError: with the name and the value, for any other.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and not negative, got {value}")
    return value
