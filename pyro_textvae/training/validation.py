# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is measured on the validation split after every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from torch import nn

from pyro_textvae.data import Corpus
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.evaluation.over_globals import draw_globals

VALIDATION_SEED = 20_000
"""Every epoch is validated with the same draws, so that epochs differ by the model alone."""

GLOBAL_DRAWS = 4
"""Draws of global latents that the bound is the mean over."""


@dataclass(frozen=True)
class Validation:
    """Means over the validation split; nats per sentence.

    elbo, reconstruction, kl
        The negative bound, unweighted whatever the objective is, and the terms it is the sum of;
        given global latents, whose own KL, of the training corpus, is in no term.
    mutual_information
        At most the log of the number of sentences; None without a latent or with several.
    importance_weighted
        The negative bound of several draws, of an objective that trains one; else None.
    """

    elbo: float
    reconstruction: float
    kl: float
    mutual_information: float | None
    importance_weighted: float | None = None

    @property
    def bound(self) -> float:
        """What the best epoch is told by: the tightest bound that there is."""
        return bound_of(self.metrics())

    def metrics(self) -> dict[str, float | None]:
        """What the line of an epoch has of it."""
        names = {f"valid_{name}": value for name, value in asdict(self).items()}
        if self.importance_weighted is None:
            del names["valid_importance_weighted"]
        return names


def bound_of(metrics: Mapping[str, Any]) -> float:
    """:attr:`Validation.bound` of a line of metrics."""
    bound: float = metrics.get("valid_importance_weighted", metrics["valid_elbo"])
    return bound


def validate(
    model: nn.Module, guide: nn.Module, corpus: Corpus, batch_size: int, num_draws: int = 1
) -> Validation:
    """Measure a pair on the validation split; neither its modes nor random numbers change.

    :param num_draws: of the importance-weighted bound, beside the evidence lower bound of one.
    """
    first = next(iter(corpus.batches("valid", batch_size, shuffle=False)), None)
    has_globals = bool(draw_globals(model, guide, first, VALIDATION_SEED, 1))
    score = partial(
        log_likelihood,
        model,
        guide,
        seed=VALIDATION_SEED,
        num_global_draws=GLOBAL_DRAWS if has_globals else None,
        sum_labels=False,
    )
    result = score(corpus.batches("valid", batch_size, shuffle=False), num_samples=1)
    weighted = None
    # Draws of a posterior that is a point are one draw.
    if num_draws > 1 and not (result.exact or result.points):
        batches = corpus.batches("valid", batch_size, shuffle=False)
        weighted = -score(batches, num_samples=num_draws).log_px.mean().item()
    batches = corpus.batches("valid", batch_size, shuffle=False)
    # Pairs of a flow's densities would take longer than the epoch.
    measured = information(
        model, guide, batches, VALIDATION_SEED, costly_pairs=0, total_correlation=False
    )
    return Validation(
        elbo=-result.elbo.mean().item(),
        reconstruction=-result.reconstruction.mean().item(),
        kl=result.kl.mean().item(),
        mutual_information=measured.mutual_information,
        importance_weighted=weighted,
    )
