# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the sentences lie in the draws of sample statements."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from pyro.poutine.messenger import Messenger

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.shared_batch.layout import OfSite, laid_out


class SiteLayouts(Messenger):
    """Tells :class:`SharedDraws` of each sample statement; goes around all other handlers."""

    def __init__(self) -> None:
        super().__init__()
        self._open: AbstractContextManager[None] | None = None

    def _pyro_sample(self, msg: Any) -> None:
        if msg["done"] or msg["is_observed"]:
            return
        dims = [f.dim for f in msg["cond_indep_stack"] if f.name == DATA_PLATE and f.vectorized]
        shape = tuple(getattr(msg["fn"], "batch_shape", ()))
        data_dim = len(shape) + dims[0] if dims and len(shape) + dims[0] >= 0 else None
        self._open = laid_out(OfSite(shape, data_dim))
        self._open.__enter__()

    def _pyro_post_sample(self, msg: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None

    def __exit__(self, *exception: Any) -> None:
        self._close()
        super().__exit__(*exception)
