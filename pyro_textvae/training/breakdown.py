# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What to say when a loss, a gradient or a bound is not finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pyro_textvae.errors import UserError
from pyro_textvae.training.progress import Progress


class TrainingError(UserError):
    """Training cannot go on; what was saved before is intact."""


def broken_step(
    modules: nn.Module,
    batch: Mapping[str, Tensor],
    loss: float,
    progress: Progress,
    state: Path,
    *,
    who: str = "",
) -> TrainingError:
    """The error of a step, with its batch and the first parameter that is not finite.

    :param state: the last checkpoint.
    :param who: the processes that it is of, where there are several.
    """
    values = {name: p.detach() for name, p in modules.named_parameters()}
    gradients = {
        f"the gradient of {name}": p.grad
        for name, p in modules.named_parameters()
        if p.grad is not None
    }
    broken = [name for name, v in (values | gradients).items() if not v.isfinite().all()]
    rows = getattr(batch, "indices", torch.empty(0)).tolist()
    return TrainingError(
        f"{who}loss {loss} at step {progress.step + 1} (epoch {progress.epoch + 1}, batch "
        f"{progress.batch + 1}, training sentences {rows}); first parameter that is not "
        f"finite: {(broken or ['none'])[0]}; the last good checkpoint is "
        f"{state}: try a smaller --learning-rate or --clip-norm"
    )


def broken_bound(elbo: float, progress: Progress, state: Path) -> TrainingError:
    """The error of a validation."""
    return TrainingError(
        f"validation bound {elbo} after epoch {progress.epoch + 1}; the last checkpoint is "
        f"{state}: try a smaller --learning-rate or --clip-norm"
    )
