# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Refuses what shares of a batch would train otherwise than the whole of it."""

from __future__ import annotations

from typing import Any

import pyro
from torch import nn

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.infer import PerDatumELBO
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.running import same_random_state, to_device
from pyro_textvae.training.shared_steps import SharedSteps

_TOLERANCE = 1e-3
"""Relative, of a loss in float32 whose sums are taken in another order, with room to spare."""

_SENTENCES = 8
"""Of each share, at most."""


def check_shared(
    shared: SharedSteps, loss_module: nn.Module, corpus: Corpus, config: TrainingConfig
) -> None:
    """Compare the loss of some sentences with that of one pass, which draws the same numbers.

    :raises UserError: where they differ, with the name of the objective, and for a constraint that
        is of a whole batch where one process takes it in parts.
    """
    if not shared.is_needed:
        return
    objective: Any = loss_module.elbo
    constraint = getattr(objective, "constraint", None)
    if shared.num_parts > 1 and getattr(constraint, "is_of_whole_batch", False):
        raise UserError(
            f"accumulate={shared.num_parts} does not go with {type(constraint).__name__}, which is "
            "of all sentences of a batch at once: take accumulate_batches, whose batches are taken "
            "for themselves, or start several processes with torchrun"
        )
    rows = corpus.plan("train", seed=config.seed, **config.batch_limits)[0]
    batch = corpus.train.batch(rows[: _SENTENCES * shared.size * shared.num_parts])
    fields = to_device(batch, loss_module)
    said = None
    if isinstance(objective, PerDatumELBO):
        said = objective.latest, objective.latest_auxiliaries
    loss_module.train()
    with isolated(loss_module), pyro.validation_enabled(False):
        with same_random_state():
            alone = loss_module(**fields).item()
        with same_random_state():
            together = shared.total(loss_module, fields)
    if said is not None:
        objective.latest, objective.latest_auxiliaries = said
    if abs(together - alone) <= _TOLERANCE * max(1.0, abs(alone)):
        return
    raise UserError(
        f"{type(objective).__name__} with these programs does not go with {shared.cause}: the loss "
        f"of {len(batch.indices)} sentences is {together:.6g} there and {alone:.6g} at once, as it "
        "is no sum over sentences, or draws random numbers that hang on other sentences; train in "
        "one process, without accumulate"
    )
