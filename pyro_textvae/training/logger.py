# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What loggers have in common: a library that may not be there, and numbers by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pyro_textvae import zoo
from pyro_textvae.errors import UserError
from pyro_textvae.training.callback import Callback, Trained


def library(package: str, extra: str) -> Any:
    """The package of a logger, imported when it is asked for.

    :raises UserError: where it is not installed, with the extra that brings it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"the log needs the package {package}, which cannot be imported ({error}): pip install "
            f"'pyro-textvae[{extra}]'"
        ) from error


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics, as ``step/loss`` and ``epoch/valid_elbo``.

    >>> numbers({"kind": "epoch", "epoch": 1, "step": 9, "valid_elbo": 3.5, "best": True})
    {'epoch/valid_elbo': 3.5}
    """
    return {
        f"{metrics['kind']}/{name}": float(value)
        for name, value in metrics.items()
        if name not in ("kind", "epoch", "step", "best") and isinstance(value, int | float)
    }


def settings_of(trainer: Trained) -> dict[str, Any]:
    """The settings of a training by name, as far as they are told."""
    return {name: value for name, value in asdict(trainer.config).items() if value is not None}


def callbacks_of(log: str | Callback | Sequence[str | Callback] | None) -> list[Callback]:
    """The loggers of these names.

    >>> [type(each).__name__ for each in callbacks_of("csv")]
    ['CSVLogger']

    :param log: names of the catalogue, in a list or with commas between them, ``file.py:Class``, or
        callbacks, which are taken as they are.
    :raises UserError: for a name that there is not, one that is given twice, and where the package
        of one is not installed.
    """
    if log is None:
        return []
    given: Sequence[str | Callback] = [log] if isinstance(log, str | Callback) else log
    listed: list[str | Callback] = []
    for each in given:
        listed += [part.strip() for part in each.split(",")] if isinstance(each, str) else [each]
    for name in listed:
        if isinstance(name, str) and listed.count(name) > 1:
            raise UserError(f"log has {name} twice: give it once")
    return [
        each if isinstance(each, Callback) else zoo.build(zoo.load("loggers", each), {})
        for each in listed
    ]
