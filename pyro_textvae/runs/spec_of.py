# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The name by which a run loads a class again."""

from __future__ import annotations

import sys
from typing import Any

import pyro.infer

from pyro_textvae import zoo
from pyro_textvae.errors import UserError

_OF_PYRO = "pyro.infer"


def spec_of(kind: str, cls: Any, pretrained_path: str | None = None) -> str:
    """What :func:`pyro_textvae.zoo.load` takes for a class.

    A member's name, ``mine.py:Class`` for a module that is one file, ``package.module:Class`` for
    one inside of a package.

    >>> from pyro_textvae.models import SentenceVAE
    >>> spec_of("models", SentenceVAE)
    'sentence_vae'
    >>> spec_of("objectives", pyro.infer.Trace_ELBO)
    'pyro.infer:Trace_ELBO'

    :param pretrained_path: of an object of a class that reads a pre-trained model.
    :raises UserError: for a class that no module has by its name, such as one of a notebook.
    """
    name, place = cls.__name__, cls.__module__
    if member := zoo.name_of(kind, cls):
        return member if pretrained_path is None else f"{zoo.PRETRAINED}:{pretrained_path}"
    if getattr(pyro.infer, name, None) is cls:
        return f"{_OF_PYRO}:{name}"
    if place == "__main__":
        raise UserError(
            f"{name} is defined in the program that is running, a notebook or script, from which "
            "no run can load it: move it into a file of its own, such as mine.py, import it from "
            "there, and build it again"
        )
    module = sys.modules.get(place)
    if getattr(module, name, None) is not cls:
        raise UserError(
            f"{place} has no {name} at its top level, so no run can load {cls.__qualname__}: "
            "define it there, not inside of a function or class"
        )
    file = getattr(module, "__file__", None)
    if file is not None and file.endswith(".py") and "." not in place:
        return f"{file}:{name}"
    return f"{place}:{name}"
