# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Models with the discrete latents that they alone have summed out of their density."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyro_textvae.contract import PARTICLE_PLATE, TOKENS
from pyro_textvae.infer.enumeration import SumOver, enumerated_joint
from pyro_textvae.infer.plates import Plates
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import random_sites


class IntegratedModel(nn.Module):
    r"""A model whose marked latents are of no concern to a guide.

    Run, it draws them unseen, so that what is drawn of the others is from their own distribution.
    :meth:`log_joint` has them summed out, for every draw of the others:

    .. math:: \log p(x, z) = \log \sum_y p(x, y, z)

    :param names: of the latents that are summed out.
    """

    def __init__(self, program: nn.Module, names: Collection[str]) -> None:
        super().__init__()
        self.program = program
        self.names = frozenset(names)
        self._texts: int | None = None

    def forward(self, **fields: Tensor) -> Any:
        """Run the program."""
        with _Unseen(self.names):
            return self.program(**fields_of(self.program, fields))

    def log_joint(
        self, values: Mapping[str, Tensor], batch: Mapping[str, Tensor], count: int, dim: int
    ) -> tuple[Tensor, Tensor]:
        """log p(x, z) and log p(z), ``(K, N)`` or what broadcasts to it.

        :param values: of the other latents, as the program has them.
        :param count: K.
        :param dim: of the plate of particles.
        """
        trace = self._run(values, batch, count, dim)
        total = enumerated_joint(trace).log_weights()
        return total, enumerated_joint(_without(trace, _observed(trace, values))).log_weights()

    def log_prior(
        self, values: Mapping[str, Tensor], batch: Mapping[str, Tensor], count: int, dim: int
    ) -> Tensor:
        """log p(z) alone ``(K, N)``, without a look at the text; see :meth:`log_joint`."""
        trace = self._run(values, batch, count, dim)
        log_prior = enumerated_joint(_without(trace, _observed(trace, values))).log_weights()
        return log_prior.expand(count, len(batch[TOKENS]))

    def _run(
        self,
        values: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        count: int,
        dim: int,
    ) -> Trace:
        program = SumOver(dim - 1, {}, given=values)(self.program)
        program = poutine.condition(program, data=dict(values))
        with pyro.plate(PARTICLE_PLATE, count, dim=dim):
            return poutine.trace(program).get_trace(**fields_of(self.program, batch))

    def texts(self, values: Mapping[str, Tensor], batch: Mapping[str, Tensor], dim: int) -> int:
        """How many texts are scored for each draw: one where no word depends on what is summed out.

        It is found once, from the shapes of the first batch.

        :param values: one draw of each other latent.
        """
        if self._texts is None:
            with torch.no_grad():
                trace = self._run(values, batch, 1, dim)
            nodes: Any = trace.nodes
            shapes = [nodes[name]["fn"].batch_shape for name in _observed(trace, values)]
            self._texts = max((prod(shape[:dim]) for shape in shapes), default=1)
        return self._texts


class IntegratedPrior:
    """p(z) of one latent of an :class:`IntegratedModel`, of the sentences of a batch.

    :param name: of the latent, which is in the plate ``"data"`` alone.
    """

    def __init__(
        self, model: IntegratedModel, batch: Mapping[str, Tensor], plates: Plates, name: str
    ) -> None:
        self._model, self._batch, self._plates, self._name = model, batch, plates, name

    def log_prob(self, value: Tensor) -> Tensor:
        """``(K, N)`` of draws ``(K, N, *event)``."""
        values = {self._name: self._plates.as_in_program(self._name, value)}
        return self._model.log_prior(values, self._batch, len(value), self._plates.particle_dim)


class _Unseen(Messenger):
    """Leaves sites out of what traces have of latents, by a mark that Pyro has for such sites."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__()
        self.names = names

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.names and not msg["is_observed"]:
            msg["infer"] = {**msg["infer"], "_deterministic": True}


def _without(trace: Trace, names: Collection[str]) -> Trace:
    part = trace.copy()
    for name in names:
        part.remove_node(name)
    return part


def _observed(trace: Trace, values: Collection[str]) -> list[str]:
    """Names of what is observed, of a program that was conditioned on ``values`` of its latents."""
    sites = random_sites(trace)
    return [name for name, site in sites if site["is_observed"] and name not in values]
