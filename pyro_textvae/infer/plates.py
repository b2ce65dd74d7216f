# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the plates of a pair of programs stand, and what is left of them for particles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor

from pyro_textvae.contract import DATA_PLATE, PARTICLE_PLATE
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.global_latents import is_global
from pyro_textvae.infer.running import same_random_state
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites, random_sites
from pyro_textvae.nn.plain_kernels import plain_kernels


@dataclass(frozen=True)
class SitePlates:
    """The dimensions that the plates of one site take, counted from the right, as in Pyro.

    data
        That of the plate ``"data"``.
    inner
        Those of the plates inside it, from left to right.
    event_dim
        How many dimensions a value has to the right of them.
    """

    data: int
    inner: tuple[int, ...]
    event_dim: int

    @staticmethod
    def of(name: str, site: Any) -> SitePlates:
        """The plates of a site of a trace.

        :raises ValueError: with the site's name, for a site outside the plate ``"data"``.
        """
        frames = frames_in_data(name, site)
        inner = (f.dim for n, f in frames.items() if n not in (DATA_PLATE, PARTICLE_PLATE))
        return SitePlates(frames[DATA_PLATE].dim, tuple(sorted(inner)), site["fn"].event_dim)

    def datum_first(self, value: Tensor, *, particles: bool = True) -> Tensor:
        """``value`` as the program has it, as ``(K, N, *inner, *event)``; without K likewise.

        :param particles: whether ``value`` has K to the left of all plates.
        """
        lead = int(particles)
        count = value.dim() - self.event_dim - lead
        order = self._order(count)
        events = range(lead + count, value.dim())
        moved = value.permute(*range(lead), *(lead + count + dim for dim in order), *events)
        # What is left are plates that the site is not in.
        return moved.flatten(lead + len(self.inner), lead + count - 1) if count else moved

    def as_in_program(self, value: Tensor, nesting: int, *, particles: bool = True) -> Tensor:
        """The inverse of :meth:`datum_first`.

        :param nesting: dimensions of all plates together, see :class:`Plates`.
        """
        lead = int(particles)
        count = nesting if particles else max(-self.data, *(-dim for dim in self.inner), 0)
        order = self._order(count)
        for _ in range(count - 1 - len(self.inner)):
            value = value.unsqueeze(lead + 1 + len(self.inner))
        places = (lead + order.index(dim) for dim in range(-count, 0))
        return value.permute(*range(lead), *places, *range(lead + count, value.dim()))

    def _order(self, count: int) -> list[int]:
        own = (self.data, *self.inner)
        return [*own, *(dim for dim in range(-count, 0) if dim not in own)]


@dataclass(frozen=True)
class Plates:
    """The plates of a pair of programs.

    nesting
        How many dimensions all plates take together: 1 where there is ``"data"`` alone.
    sites
        The plates of each latent site; global latents, which are outside ``"data"``, are not here.
    """

    nesting: int
    sites: Mapping[str, SitePlates]

    @staticmethod
    def of(*traces: Trace) -> Plates:
        """Those of traces without particles; the latents are those of any of them.

        :raises ValueError: with the site's name, for an observed site outside the plate ``"data"``.
        """
        for trace in traces:
            for name, site in random_sites(trace):
                if site["is_observed"]:
                    frames_in_data(name, site)
        sites = {
            name: SitePlates.of(name, site)
            for trace in traces
            for name, site in latent_sites(trace)
            if not is_global(site)
        }
        return Plates(deepest_plate(*traces), sites)

    @property
    def particle_dim(self) -> int:
        """Where a plate of particles goes: to the left of all others."""
        return -self.nesting - 1

    def datum_first(self, name: str, value: Tensor) -> Tensor:
        """A latent's draws as ``(K, N, *inner, *event)``, from the shape that its program has."""
        return self.sites[name].datum_first(value)

    def as_in_program(self, name: str, value: Tensor) -> Tensor:
        """The inverse of :meth:`datum_first`; what is no latent stays as it is."""
        site = self.sites.get(name)
        return value if site is None else site.as_in_program(value, self.nesting)


def frames_in_data(name: str, site: Any) -> dict[str, Any]:
    """The vectorised plates of a site by name, of which one must be ``"data"``.

    What is asked of the latents of sentences; global ones have no such plate.

    :raises ValueError: with the site's name, for a site outside the plate ``"data"``.
    """
    frames = {frame.name: frame for frame in site["cond_indep_stack"] if frame.vectorized}
    if DATA_PLATE not in frames:
        raise ValueError(
            f"sample site {name!r} is outside the plate 'data', and this is of the latents and the "
            "text of sentences: put the site inside the plate, or give a global latent a value by "
            "given_globals"
            if is_global(site)
            else f"sample site {name!r} is outside the plate 'data': the bound of each sentence is "
            "not defined; put the site inside the plate"
        )
    return frames


def deepest_plate(*traces: Trace) -> int:
    """How many dimensions the plates of all sites take together, at least one."""
    return max(
        (
            -frame.dim
            for trace in traces
            for _, site in random_sites(trace)
            for frame in site["cond_indep_stack"]
            if frame.vectorized
        ),
        default=1,
    )


_FOUND: WeakKeyDictionary[Any, WeakKeyDictionary[Any, dict[Any, Plates]]] = WeakKeyDictionary()


def find_plates(model: Any, guide: Any, args: tuple, kwargs: Mapping[str, Any]) -> Plates:
    """The plates of a pair, from one run of both that leaves no mark.

    It draws random numbers, but the generators are as before when it is over, and it records no
    gradient. Its result is kept as long as both programs are, for calls with arguments of as many
    dimensions: the plates must not change from batch to batch.

    :raises ValueError: with the site's name, for an observed site outside the plate ``"data"``.
    """
    kept = _FOUND.setdefault(model, WeakKeyDictionary()).setdefault(guide, {})
    key = tuple(_kind(value) for value in args), tuple((n, _kind(v)) for n, v in kwargs.items())
    if key not in kept:
        with same_random_state(), torch.no_grad(), plain_kernels(), poutine.block():
            guide_trace = trace_guide(guide, *args, **named(guide, args, kwargs))
            replayed = poutine.replay(model, trace=guide_trace)
            model_trace = poutine.trace(replayed).get_trace(*args, **named(model, args, kwargs))
        kept[key] = Plates.of(model_trace, guide_trace)
    return kept[key]


def named(program: Any, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that a program names; all that are given beside positional arguments."""
    return dict(kwargs) if args else fields_of(program, kwargs)


def _kind(value: Any) -> Any:
    return value.dim() if isinstance(value, Tensor) else type(value)
