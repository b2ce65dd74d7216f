# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A guide trained on after its model has changed, the model fixed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

import pyro
import torch
from torch import Tensor, nn

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.infer import BetaELBO
from pyro_textvae.infer.running import same_random_state, to_device
from pyro_textvae.nn.frozen import frozen

Batches = Callable[[], Iterable[Mapping[str, Tensor]]]


def retrain_guide(
    model: nn.Module,
    guide: nn.Module,
    batches: Batches,
    held_out: Batches,
    *,
    epochs: int = 2,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> tuple[float, float]:
    """Raise the evidence lower bound by the guide alone, and keep it where held-out ones rise.

    :param batches, held_out: called for each pass.
    :returns: the mean bound of the held-out sentences before and after; nats per sentence.
    :raises UserError: for a guide that has nothing to be learned beside what the model has.
    """
    fixed = {id(parameter) for parameter in model.parameters()}
    parameters = [p for p in guide.parameters() if p.requires_grad and id(p) not in fixed]
    if not parameters:
        raise UserError(
            f"{type(guide).__name__} has nothing of its own to be trained: leave alternate out"
        )
    before = best = _bound(model, guide, held_out, seed)
    weights = copy.deepcopy(guide.state_dict())
    optimizer, loss = torch.optim.Adam(parameters, learning_rate), BetaELBO()
    with same_random_state():
        pyro.set_rng_seed(seed)
        for _ in range(epochs):
            for batch in batches():
                optimizer.zero_grad()
                fields = to_device(batch, guide)
                with frozen([p for p in model.parameters() if id(p) in fixed]):
                    loss.differentiable_loss(model, guide, **fields).backward()
                nn.utils.clip_grad_norm_(parameters, 5.0)
                optimizer.step()
            score = _bound(model, guide, held_out, seed)
            if score > best:
                best, weights = score, copy.deepcopy(guide.state_dict())
    guide.load_state_dict(weights)
    return before, best


def _bound(model: nn.Module, guide: nn.Module, batches: Batches, seed: int) -> float:
    return float(log_likelihood(model, guide, batches(), 1, seed).elbo.mean())
