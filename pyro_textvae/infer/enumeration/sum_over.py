# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pyro's enumeration of discrete sites, with a limit to how many values are summed over."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from pyro.poutine.enum_messenger import EnumMessenger

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.infer.enumeration.marks import is_marked

MAX_COMBINATIONS = 4096
"""Most values of all enumerated sites of a pair together: so many texts may have to be scored."""


class SumOver(EnumMessenger):
    """Gives each marked site all its values, along a dimension to the left of all plates.

    :param first_dim: the first dimension that is free, negative; None for a model, whose own
        enumerated sites go to the left of its guide's.
    :param sizes: of the dimensions that are taken so far, which is written to.
    :param given: names of the sites that get their values from elsewhere.
    :param names: sites that are summed over whether they are marked or not.
    """

    def __init__(
        self,
        first_dim: int | None,
        sizes: dict[int, int],
        given: Collection[str] = (),
        names: Collection[str] = (),
    ) -> None:
        super().__init__(first_dim)
        self.sizes = sizes
        self.given = given
        self.names = names

    def _pyro_sample(self, message: Any) -> None:
        if message["type"] != "sample" or message["done"]:
            return
        name, infer = message["name"], message["infer"]
        if name in self.given:
            message["infer"] = {key: value for key, value in infer.items() if key != "enumerate"}
        elif name in self.names and not message["is_observed"]:
            message["infer"] = infer | {"enumerate": "parallel"}
        if is_marked(message):
            _check_can_be_enumerated(message)
        super()._pyro_sample(message)
        dim = message["infer"].get("_enumerate_dim")
        if dim is not None:
            size = message["value"].shape[dim - message["fn"].event_dim]
            self.sizes[dim] = max(size, self.sizes.get(dim, 1))
            _check_limit(name, size, math.prod(self.sizes.values()))


def _check_can_be_enumerated(message: Any) -> None:
    name, fn = message["name"], message["fn"]
    if not any(f.name == DATA_PLATE and f.vectorized for f in message["cond_indep_stack"]):
        raise ValueError(
            f"site {name!r} is marked enumerate and stands outside the plate 'data', so that the "
            "sum over its values would be one of the whole corpus: put the site inside the plate"
        )
    try:
        fn.enumerate_support(expand=False)
    except NotImplementedError as error:
        raise ValueError(
            f"site {name!r} is marked enumerate, and {type(fn).__name__} has no list of its "
            "values: leave the mark out, or take a distribution such as Categorical"
        ) from error


def _check_limit(name: str, size: int, combinations: int) -> None:
    if combinations <= MAX_COMBINATIONS:
        return
    together = "" if combinations == size else f", which makes {combinations} with those before it"
    raise ValueError(
        f"site {name!r} is marked enumerate and has {size} values{together}, and at most "
        f"{MAX_COMBINATIONS} are summed over: leave the mark out, so that the guide draws it, and "
        "train by VIMCO, ThermodynamicELBO or WakeSleep"
    )
