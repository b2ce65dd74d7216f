# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The error of an estimator that was asked before it was fitted."""

from __future__ import annotations

from pyro_textvae.errors import UserError


class NotFittedError(UserError, AttributeError):
    """``fit`` has not been called; a ``ValueError`` and ``AttributeError``, as scikit-learn's."""
