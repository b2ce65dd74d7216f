# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the distributions of a latent have their draws."""

from __future__ import annotations

from typing import Any


def share_support(first: Any, second: Any) -> bool:
    """Whether each of two distributions has draws of the other in its support.

    Draws decide, for supports of two names may still do, as of a log-normal and a gamma.
    """
    if support_of(first) == support_of(second) or None in (support_of(first), support_of(second)):
        return True
    drawn = ((first, second.sample()), (second, first.sample()))
    return all(bool(fn.support.check(value).all()) for fn, value in drawn)


def support_of(fn: Any) -> str | None:
    """The support of one coordinate, in words; None for a distribution that does not say."""
    try:
        support = fn.support
    except NotImplementedError:
        return None
    # Of a mixture of vectors there are two around that of a coordinate.
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return repr(support).removesuffix("()")
