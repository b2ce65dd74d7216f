# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""NLTK, which takes seconds to import and does not without a folder for its data."""

from __future__ import annotations

import importlib
from types import ModuleType

from pyro_textvae.errors import UserError


def import_nltk(module: str = "nltk") -> ModuleType:
    """NLTK, or one of its modules.

    >>> import_nltk("nltk.tokenize.treebank").TreebankWordTokenizer.__name__
    'TreebankWordTokenizer'

    :raises UserError: for a user whose home is not known, as of a container's number without a
        name.
    """
    try:
        return importlib.import_module(module)
    except ValueError as error:
        raise UserError(
            f"NLTK looks for the user's home folder and there is none ({error}): set HOME, or "
            "NLTK_DATA to a folder that can be written"
        ) from error
