# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which programs have sites that are to be summed over."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import pyro
import torch
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

_MARKED: WeakSet[Any] = WeakSet()
_UNMARKED: WeakKeyDictionary[Any, WeakSet[Any]] = WeakKeyDictionary()


class MarkedSite(Exception):
    """Raised by a program that was run without enumeration, at its first site that asks for it."""

    def __init__(self, site: str, in_model: bool) -> None:
        super().__init__(site)
        self.in_model = in_model


class StopAtMarks(Messenger):
    """Stops a program at a site that is marked ``infer={"enumerate": "parallel"}``.

    :param given: names of the sites that get their values from elsewhere.
    """

    def __init__(self, *, in_model: bool, given: Container[str] = ()) -> None:
        super().__init__()
        self.in_model = in_model
        self.given = given

    def _pyro_sample(self, message: Any) -> None:
        if message["name"] not in self.given and is_marked(message):
            raise MarkedSite(message["name"], self.in_model)


def is_marked(site: Any) -> bool:
    """Whether a site, or the message of one, is to be summed over, and not drawn.

    :raises ValueError: with the site's name, for a mark that means something else.
    """
    mark = site["infer"].get("enumerate")
    if mark is None or site["is_observed"] or site_is_subsample(site):
        return False
    if mark != "parallel":
        raise ValueError(
            f"site {site['name']!r} is marked infer={{'enumerate': {mark!r}}}, and objectives of "
            "pyro_textvae sum over the values of a site at once: write 'parallel', or train by "
            "pyro.infer:TraceEnum_ELBO"
        )
    if site["infer"].get("num_samples") is not None:
        raise ValueError(
            f"site {site['name']!r} is marked with num_samples, a number of draws in the place of "
            "all its values: leave num_samples out, or take more num_particles"
        )
    return True


def has_marks(model: Any, guide: Any) -> bool:
    """Whether one of a pair stopped at a mark before."""
    return model in _MARKED or guide in _MARKED


@contextmanager
def looking_for_marks(model: Any, guide: Any) -> Iterator[None]:
    """Run a pair that may have marks; where it has, it must be run anew, with enumeration.

    At a mark the random numbers are as before: a pass that is begun again draws what it would have
    drawn if the mark had been known.

    :raises MarkedSite: at a mark.
    """
    known = guide in _UNMARKED.get(model, ())
    state = None if known else pyro.util.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if not known and torch.cuda.is_available() else []
    try:
        yield
    except MarkedSite as mark:
        _MARKED.add(model if mark.in_model else guide)
        if state is not None:
            pyro.util.set_rng_state(state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        raise
    if not known:
        _UNMARKED.setdefault(model, WeakSet()).add(guide)
