# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Training steps whose batch several processes share, or that one takes in parts."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.errors import UserError
from pyro_textvae.infer import PerDatumELBO
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.processes import rank_and_size, sum_of_all
from pyro_textvae.shared_batch import Share, SharedDraws, SiteLayouts, sharing
from pyro_textvae.training.cut_batch import cut_batch
from pyro_textvae.training.early_sums import EarlySums
from pyro_textvae.training.sum_gradients import (
    embedding_tables,
    is_dense_and_large,
    sum_gradients,
)


class SharedSteps:
    """Loss and gradient of whole batches, each process computing its share in some parts.

    The gradient is that of the mean over the batch's sentences, the random numbers are those that
    one process draws for the whole batch, and what an objective says of its terms is of the whole
    batch in every process.

    :param modules: whose parameters are trained.
    :param parameters: those that may be stepped.
    :param config: its ``accumulate``.
    :raises UserError: for what cannot be shared, with what to leave out.
    """

    def __init__(
        self,
        modules: nn.Module,
        parameters: Sequence[nn.Parameter],
        config: TrainingConfig,
        device: torch.device,
    ) -> None:
        self.rank, self.size = rank_and_size()
        self.num_parts = config.accumulate
        self.device = device
        self.tables = embedding_tables(modules)
        self.losses: list[float] = []
        """The loss of each process's share in the last step."""
        if self.size > 1 and config.batch_tokens is None and config.batch_size < self.size:
            raise UserError(
                f"batch_size={config.batch_size} sentences are fewer than {self.size} processes: "
                "a batch is shared among them, so give at least as many sentences, or start fewer "
                "processes"
            )
        if self.is_needed and config.compile:
            raise UserError(
                f"compile does not go with {self.cause}: what is compiled draws random numbers "
                "of its own, which would not be those of the whole batch; leave compile out"
            )

        self.early: EarlySums | None = None
        if self.size > 1:
            self.early = EarlySums([p for p in parameters if is_dense_and_large(p, self.tables)])

    @property
    def is_needed(self) -> bool:
        """Whether a batch is shared or cut at all."""
        return self.size > 1 or self.num_parts > 1

    @property
    def cause(self) -> str:
        """Why it is, for an error."""
        return f"{self.size} processes" if self.size > 1 else f"accumulate={self.num_parts}"

    def differentiate(
        self,
        loss_module: nn.Module,
        fields: Mapping[str, Tensor],
        weight: float,
        inputs: list[nn.Parameter] | None,
        *,
        sums_follow: bool = False,
    ) -> Tensor:
        """The loss per sentence of the batch; its gradients here are added.

        :param weight: what the gradient is multiplied by.
        :param inputs: the parameters that get one; by default all.
        :param sums_follow: whether :meth:`sum_gradients` comes next, so that sums may begin.
        """
        objective = getattr(loss_module, "elbo", None)
        state, kept = _random_state(self.device), []
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        shares = self._shares(objective, fields)
        for share in shares:
            _set_random_state(self.device, state)
            part = self._loss(loss_module, share) / share.total
            counted = part if share.is_counted else part * 0.0
            begins = sums_follow and share is shares[-1]
            with self.early.open(inputs) if self.early and begins else nullcontext():
                (counted * weight).backward(inputs=inputs)
            loss = loss + counted.detach()
            kept.append((share, *_said_by(objective)))
        dtype = part.dtype
        return self._exchange(objective, loss, kept).to(dtype)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add the gradients of all processes."""
        if self.early is not None:
            sum_gradients(parameters, self.tables, self.early)

    def total(self, loss_module: nn.Module, fields: Mapping[str, Tensor]) -> float:
        """The loss of a batch, summed over its sentences, without a step."""
        state = _random_state(self.device)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for share in self._shares(loss_module.elbo, fields):
            _set_random_state(self.device, state)
            value = self._loss(loss_module, share).detach()
            total += value.double() if share.is_counted else 0.0
        return sum_of_all(total).item()

    def blame(self) -> str:
        """The ranks whose loss in the last step was not finite, to begin the error with."""
        broken = [rank for rank, loss in enumerate(self.losses) if not math.isfinite(loss)]
        if not broken:
            return ""
        return f"rank {', '.join(map(str, broken))} of {self.size}: "

    def _shares(self, objective: Any, fields: Mapping[str, Tensor]) -> list[Share]:
        particles = getattr(objective, "num_particles", 1)
        if not getattr(objective, "vectorize_particles", False):
            particles = 1
        return cut_batch(fields, self.rank, self.size, self.num_parts, particles)

    def _loss(self, loss_module: nn.Module, share: Share) -> Tensor:
        with sharing(share), SharedDraws(), SiteLayouts():
            return loss_module(**share.rows())

    def _exchange(
        self,
        objective: Any,
        loss: Tensor,
        kept: list[tuple[Share, PerDatumTerms | None, dict[str, Tensor]]],
    ) -> Tensor:
        """The loss of the whole batch, and its terms to the objective."""
        losses = loss.new_zeros(self.size)
        losses[self.rank] = loss
        states = loss.new_zeros(self.size)
        states[self.rank] = _fingerprint(_random_state(self.device))
        terms, auxiliaries = kept[0][1], kept[0][2]
        columns = [] if terms is None else _columns(terms, auxiliaries)
        total = kept[0][0].total
        whole = [value.new_zeros((*value.shape[:-1], total)).double() for value in columns]
        for share, of_share, losses_of_share in kept:
            if of_share is None or not share.is_counted:
                continue
            for column, value in zip(whole, _columns(of_share, losses_of_share), strict=True):
                column[..., share.start : share.stop] = value
        flat = sum_of_all(torch.cat([losses, states, *(column.flatten() for column in whole)]))
        losses, states, rest = flat.split([self.size, self.size, len(flat) - 2 * self.size])
        if self.size > 1:
            self.losses = losses.tolist()
            self._check_states(states.tolist())
        if terms is not None:
            parts = rest.split([column.numel() for column in whole])
            values = [
                part.view_as(column).to(like.dtype)
                for part, column, like in zip(parts, whole, columns, strict=True)
            ]
            objective.latest, objective.latest_auxiliaries = _with(terms, auxiliaries, values)
        return losses.sum()

    def _check_states(self, states: list[float]) -> None:
        if len({*states}) > 1:
            raise UserError(
                "the random numbers of the processes went apart, as some draw of model or guide "
                "hangs on the sentences that a process has: train in one process"
            )


def _said_by(objective: Any) -> tuple[PerDatumTerms | None, dict[str, Tensor]]:
    if not isinstance(objective, PerDatumELBO):
        return None, {}
    return objective.latest, dict(objective.latest_auxiliaries)


def _columns(terms: PerDatumTerms, auxiliaries: Mapping[str, Tensor]) -> list[Tensor]:
    """All numbers of each sentence, the sentences last."""
    return [
        terms.log_likelihood,
        *terms.log_ratio.values(),
        *terms.kl.values(),
        *terms.observed.values(),
        *auxiliaries.values(),
    ]


def _with(
    terms: PerDatumTerms, auxiliaries: Mapping[str, Tensor], values: list[Tensor]
) -> tuple[PerDatumTerms, dict[str, Tensor]]:
    left = iter(values)
    first = next(left)
    log_ratio, kl, observed = (
        {name: next(left) for name in names}
        for names in (terms.log_ratio, terms.kl, terms.observed)
    )
    joined = replace(
        terms, log_likelihood=first, log_ratio=log_ratio, kl=kl, observed=observed, enumerated=()
    )
    return joined, {name: next(left) for name in auxiliaries}


def _random_state(device: torch.device) -> list[Tensor]:
    of_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *of_device]


def _set_random_state(device: torch.device, state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    for of_device in state[1:]:
        torch.cuda.set_rng_state(of_device, device)


def _fingerprint(state: list[Tensor]) -> float:
    return float(zlib.crc32(b"".join(part.numpy().tobytes() for part in state)))
