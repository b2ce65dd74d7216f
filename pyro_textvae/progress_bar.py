# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A progress bar on a terminal and in a notebook, and none where nobody would see it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(
    items: Iterable[Any] | None = None, *, shown: bool = True, **options: Any
) -> tqdm[Any]:
    """A bar over items, with the options of ``tqdm``.

    >>> list(progress_bar([1, 2], desc="items"))
    [1, 2]
    """
    from tqdm.auto import tqdm

    # A bar that is None looks whether standard error is a terminal, which a notebook's is not.
    disable = True if not shown else False if in_notebook() else None
    return tqdm(items, disable=disable, leave=False, **options)


def in_notebook() -> bool:
    """Whether the program runs in a notebook's kernel."""
    ipython = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return ipython is not None and "IPKernelApp" in ipython.config
