# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Steps of the optimiser, none of which is taken unless loss and gradient are finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.contract import TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.infer.running import device_of
from pyro_textvae.nn.mixed_precision import mixed_precision
from pyro_textvae.nn.replaced_methods import Replacement, replaced_methods
from pyro_textvae.training.accumulation import Part
from pyro_textvae.training.breakdown import TrainingError, broken_step
from pyro_textvae.training.compiled_networks import compiled_networks
from pyro_textvae.training.optimizer import load_optimizer, new_optimizer
from pyro_textvae.training.prefetch import without_waiting
from pyro_textvae.training.progress import Progress
from pyro_textvae.training.shared_steps import SharedSteps


@dataclass(frozen=True)
class _Step:
    """A step that has not been seen to be finite yet, with all that it takes to repeat it."""

    loss_module: nn.Module
    batch: Mapping[str, Tensor]
    parameters: list[nn.Parameter] | None
    progress: Progress
    loss: Tensor
    random_state: list[Tensor]


class Updates:
    """Steps parameters down a loss; one that is not finite moves nothing and ends training.

    On the CPU each step is checked before it is taken. On a GPU that would mean to wait for it:
    there a flag on the device keeps the fused optimiser from the broken step and from all that
    follow, and the host reads it at :meth:`check`.

    :param parameters: all that may be stepped.
    :param config: its optimiser, learning rate, clipping, precision and compilation.
    :param last_checkpoint: what an error names as still good.
    :param deferred: whether steps wait for :meth:`check`; by default on a GPU alone.
    :raises UserError: when the networks are to be compiled and cannot be, and for a precision or
        compilation that would reach none of them.
    """

    def __init__(
        self,
        modules: nn.Module,
        parameters: list[nn.Parameter],
        config: TrainingConfig,
        last_checkpoint: Path,
        *,
        deferred: bool | None = None,
    ) -> None:
        self.modules = modules
        self.parameters = parameters
        self.config = config
        self.last_checkpoint = last_checkpoint
        self.device = device_of(modules)
        self.shared = SharedSteps(modules, parameters, config, self.device)
        self.deferred = self.device.type == "cuda" if deferred is None else deferred
        self.replacements: list[Replacement] = []
        if config.compile:
            self.replacements += compiled_networks(modules, self.device)
        if config.precision == "bfloat16":
            with replaced_methods(self.replacements):
                self.replacements += mixed_precision(modules, self.device.type)
        if (config.compile or config.precision != "float32") and not self.replacements:
            raise UserError(
                f"precision={config.precision} and compile={config.compile} would do nothing: "
                "derive your networks from Decoder and Encoder of pyro_textvae.nn, or leave both "
                "out"
            )
        self._broken = torch.zeros((), device=self.device)
        self._finite_steps = torch.zeros((), device=self.device)
        self._unread: list[_Step] = []
        self.begin_anew()

    def begin_anew(self) -> None:
        """Take an optimiser that has seen no step."""
        self.optimizer = new_optimizer(self.parameters, self.config)
        if self.deferred:
            self.optimizer.found_inf = self._broken  # type: ignore[attr-defined]

    def step(
        self,
        loss_module: nn.Module,
        batch: Mapping[str, Tensor],
        progress: Progress,
        parameters: list[nn.Parameter] | None = None,
        part: Part | None = None,
    ) -> float | Tensor:
        """Step ``parameters`` down the loss of a batch, and return it, per sentence.

        :param progress: where the run stands, for the error.
        :param parameters: those to step; by default all.
        :param part: of a step that takes several batches together; by default this one is all.
        :raises TrainingError: when loss or gradient is not finite; if deferred, only at the next
            :meth:`check`. Nothing is stepped in either case.
        """
        moving = self.parameters if parameters is None else parameters
        before = self._random_state() if self.deferred else []
        is_last = part is None or part.is_last
        loss = self._differentiate(loss_module, batch, parameters, part, sums_follow=is_last)
        norm = torch.zeros((), device=self.device)
        if is_last:
            self.shared.sum_gradients(moving)
        if is_last or self.shared.size == 1:
            # Before the sum over processes each would have another norm.
            norm = nn.utils.get_total_norm([p.grad for p in moving if p.grad is not None])
        value = self.number(loss)
        if isinstance(value, Tensor):
            self._broken.masked_fill_((value * 0 + norm * 0).isnan(), 1.0)
            self._finite_steps += 1.0 - self._broken
            self._unread.append(
                _Step(loss_module, batch, parameters, replace(progress), value, before)
            )
            length = math.inf
        else:
            length = norm.item()
            if not (math.isfinite(value) and math.isfinite(length)):
                raise self._broken_step(batch, value, progress)
        if not is_last:
            return value
        if length + 1e-6 > self.config.clip_norm:
            # Else it would multiply all gradients by one.
            nn.utils.clip_grads_with_norm_(moving, self.config.clip_norm, norm)
        self.optimizer.step()
        return value

    def number(self, value: Tensor) -> float | Tensor:
        """A number of the present step; a float64 tensor on the device if steps are deferred."""
        return value.detach().double() if self.deferred else value.item()

    def check(self) -> None:
        """Wait for the steps so far, where they are deferred.

        :raises TrainingError: when one of them was not finite, now and at each later call.
        """
        if not self._unread:
            return
        finite = int(self._finite_steps)
        if finite < len(self._unread):
            raise self._error(self._unread[finite])
        self._unread.clear()
        self._finite_steps.zero_()

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state, and the names of the parameters in its order."""
        return {"optimizer": self.optimizer.state_dict(), "parameters": self._names()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state_dict`` was asked for; a step that was not finite is forgotten.

        :raises ValueError: when a parameter is missing in the state, or has another shape there.
        """
        places = [state["parameters"].index(name) for name in self._names()]
        load_optimizer(self.optimizer, state["optimizer"], places)
        self._broken.zero_()
        self._finite_steps.zero_()
        self._unread.clear()

    def _names(self) -> list[str]:
        stepped = {id(parameter) for parameter in self.parameters}
        return [name for name, p in self.modules.named_parameters() if id(p) in stepped]

    def _differentiate(
        self,
        loss_module: nn.Module,
        batch: Mapping[str, Tensor],
        parameters: list[nn.Parameter] | None,
        part: Part | None = None,
        *,
        sums_follow: bool = False,
    ) -> Tensor:
        if part is None or part.is_first:
            self.optimizer.zero_grad(set_to_none=True)
        if self.shared.is_needed:
            weight = 1.0 if part is None else len(batch[TOKENS]) / part.num_sentences
            with replaced_methods(self.replacements):
                fields = without_waiting(batch, self.device)
                return self.shared.differentiate(
                    loss_module, fields, weight, parameters, sums_follow=sums_follow
                )
        with replaced_methods(self.replacements):
            loss = loss_module(**without_waiting(batch, self.device)) / len(batch[TOKENS])
        share = loss if part is None else loss * (len(batch[TOKENS]) / part.num_sentences)
        share.backward(inputs=parameters)
        return loss

    def _error(self, step: _Step) -> TrainingError:
        """Repeat a step for its gradients: since it broke, no parameter has moved."""
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(cuda), pyro.validation_enabled(False):
            self._set_random_state(step.random_state)
            self._differentiate(step.loss_module, step.batch, step.parameters)
        return self._broken_step(step.batch, step.loss.item(), step.progress)

    def _broken_step(
        self, batch: Mapping[str, Tensor], loss: float, progress: Progress
    ) -> TrainingError:
        return broken_step(
            self.modules, batch, loss, progress, self.last_checkpoint, who=self.shared.blame()
        )

    def _random_state(self) -> list[Tensor]:
        of_device = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return [torch.get_rng_state(), *of_device]

    def _set_random_state(self, state: list[Tensor]) -> None:
        torch.set_rng_state(state[0])
        for of_device in state[1:]:
            torch.cuda.set_rng_state(of_device, self.device)
