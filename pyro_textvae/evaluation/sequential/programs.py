# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A program that is run a step at a time, for all particles of one datum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyro_textvae.contract import DATA_PLATE, PARTICLE_PLATE
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.importance.target import Latents
from pyro_textvae.infer.auxiliary_sites import at_latents, trace_guide
from pyro_textvae.infer.plates import SitePlates
from pyro_textvae.infer.simulate import fields_of, name_of
from pyro_textvae.infer.sites import random_sites
from pyro_textvae.infer.steps import map_state
from pyro_textvae.infer.terms import by_datum
from pyro_textvae.nn.frozen import frozen

START = -1
"""The number of what is before the first step."""


class StepSites(NamedTuple):
    """What one step has of every particle.

    values
        Of the latents, as the program has them.
    latents
        The same, ``(K, 1, *inner, *event)``.
    posteriors
        The distributions that they were drawn from or scored by.
    log_latent, log_observed
        Log-density of all latents of the step, and of all that is observed in it, ``(K,)`` float64.
    """

    values: dict[str, Tensor]
    latents: dict[str, Tensor]
    posteriors: dict[str, Any]
    log_latent: Tensor
    log_observed: Tensor


class SteppedProgram(ABC):
    """A model or a guide, a step at a time.

    :param fields: of one datum alone, on the device of the program.
    :param count: number of particles, K.
    :param particle_dim: where their plate goes.
    """

    runs_whole: bool
    """Whether every step runs the program from its beginning."""

    def __init__(
        self, program: nn.Module, fields: Mapping[str, Tensor], count: int, particle_dim: int
    ) -> None:
        self.program = program
        self.fields = fields
        self.count = count
        self.particle_dim = particle_dim

    @abstractmethod
    def run(self, t: int, values: Latents) -> StepSites:
        """Run step ``t``, or what is before the first, with the latents that ``values`` has."""

    @abstractmethod
    def go_on_from(self, index: Tensor) -> None:
        """Let each particle go on from that at its place in ``index``, ``(K,)``."""

    @contextmanager
    def _particles(self) -> Iterator[None]:
        with (
            torch.no_grad(),
            frozen(self.program.parameters()),
            pyro.plate(PARTICLE_PLATE, self.count, dim=self.particle_dim),
        ):
            yield

    def _read(self, trace: Trace, given: Latents, names: Sequence[str] | None = None) -> StepSites:
        """What a trace has of some of its sites, by default of all.

        :param given: latents that the program was run with, which Pyro calls observed.
        """
        sites = [(n, site) for n, site in random_sites(trace) if names is None or n in names]
        terms = {True: torch.zeros((), dtype=torch.float64), False: torch.zeros(()).double()}
        latents, values, posteriors = {}, {}, {}
        for name, site in sites:
            log_prob = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
            of_datum = by_datum(name, site, log_prob).double().squeeze(1)
            is_observed = site["is_observed"] and name not in given
            terms[is_observed] = terms[is_observed] + of_datum
            if not is_observed:
                values[name], posteriors[name] = site["value"], site["fn"]
                latents[name] = SitePlates.of(name, site).datum_first(site["value"])
        return StepSites(
            values,
            latents,
            posteriors,
            terms[False].expand(self.count),
            terms[True].expand(self.count),
        )


class ByState(SteppedProgram):
    """A program with ``start`` and ``step``: each step goes on from the state that the last left.

    See :data:`~pyro_textvae.infer.steps.STEP_METHODS`.

    :param data_dim: where the plate ``"data"`` goes.
    """

    runs_whole = False

    def __init__(
        self,
        program: nn.Module,
        fields: Mapping[str, Tensor],
        count: int,
        particle_dim: int,
        data_dim: int,
    ) -> None:
        super().__init__(program, fields, count, particle_dim)
        self.data_dim = data_dim
        self.state: Any = None

    def run(self, t: int, values: Latents) -> StepSites:
        """See :class:`SteppedProgram`."""
        method: Any = self.program.start if t == START else self.program.step
        arguments = fields_of(method, {**self.fields, "state": self.state, "t": t})

        def call() -> None:
            with pyro.plate(DATA_PLATE, 1, dim=self.data_dim):
                self.state = method(**arguments)

        with self._particles():
            trace = trace_guide(poutine.condition(call, data=dict(values)))
            return self._read(trace, values)

    def go_on_from(self, index: Tensor) -> None:
        """See :class:`SteppedProgram`.

        :raises UserError: for a state whose particles are not at the left.
        """

        def chosen(value: Tensor) -> Tensor:
            # What depends on no draw has the one datum at the left, or no dimension at all.
            if value.dim() == 0 or len(value) == 1:
                return value
            if len(value) != self.count:
                raise UserError(
                    f"{name_of(self.program)} goes on from a state with a tensor of shape "
                    f"{tuple(value.shape)}, and its step is run for one text and {self.count} "
                    "particles: return tensors that have the particles at the left, or the text"
                )
            return value.index_select(0, index)

        self.state = map_state(chosen, self.state)


class ByPrefix(SteppedProgram):
    """Any other program: each step runs it from the beginning, with what was drawn before given.

    :param steps: the names of the sites of each step.
    :param trace: of a guide, by which its latents are given; None for a model.
    """

    runs_whole = True

    def __init__(
        self,
        program: nn.Module,
        fields: Mapping[str, Tensor],
        count: int,
        particle_dim: int,
        steps: Sequence[Sequence[str]],
        trace: Trace | None = None,
    ) -> None:
        super().__init__(program, fields, count, particle_dim)
        self.steps = steps
        self.trace = trace
        self.values: dict[str, Tensor] = {}

    def run(self, t: int, values: Latents) -> StepSites:
        """See :class:`SteppedProgram`."""
        if t == START:
            nothing = torch.zeros(self.count, dtype=torch.float64)
            return StepSites({}, {}, {}, nothing, nothing)
        given = {**self.values, **values}
        arguments = fields_of(self.program, self.fields)
        with self._particles():
            if self.trace is None:
                later = {name for names in self.steps[t + 1 :] for name in names}
                tracer = poutine.trace()
                with tracer, _Until(later), poutine.condition(data=given):
                    _run_until(self.program, arguments)
                trace = tracer.trace
            else:
                data = at_latents(self.trace, given)
                trace = trace_guide(poutine.condition(self.program, data=data), **arguments)
            read = self._read(trace, given, self.steps[t])
        self.values |= read.values
        return read

    def go_on_from(self, index: Tensor) -> None:
        """See :class:`SteppedProgram`."""
        self.values = {
            name: value.index_select(0, index) if len(value) == self.count else value
            for name, value in self.values.items()
        }


class _LaterSite(Exception):
    """Ends a run where all that is asked for has been drawn."""


class _Until(Messenger):
    """Ends a run at the first of some sites."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self.names = names

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.names:
            raise _LaterSite


def _run_until(program: nn.Module, arguments: Mapping[str, Any]) -> None:
    try:
        program(**arguments)
    except _LaterSite:
        return
