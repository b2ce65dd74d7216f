# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is demanded of numbers, and the error where they do not meet it."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.errors import UserError

# float64 sums over a few dozen terms: anything above this is another number, not rounding.
_TOLERANCE = 1e-8


class ContractError(UserError):
    """A program breaks the contract of a model or guide; says which clause, and where."""


def demand_close(expected: Tensor, actual: Tensor, what: str, relative: float = _TOLERANCE) -> None:
    """Demand that numbers of sentences, ``(N,)``, are the same up to rounding.

    :param what: the clause, for the error.
    :raises ContractError: with both numbers of the sentence where they differ most.
    """
    expected, actual = expected.detach(), actual.detach()
    error = (expected - actual).abs()
    worst = int((error - relative * expected.abs().clamp(min=1.0)).argmax())
    if error[worst] > relative * max(1.0, float(expected[worst].abs())):
        raise ContractError(
            f"{what}: {float(expected[worst]):.10g} against {float(actual[worst]):.10g} for "
            f"sentence {worst}"
        )
