# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is measured on the validation split after every epoch."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    elbo: float
    reconstruction: float
    kl: float
    mutual_information: float | None


def validate(model: nn.Module, guide: nn.Module, corpus: Corpus, batch_size: int) -> Validation:
    """Measure a pair on the validation split; neither its modes nor random numbers change."""
    batches = corpus.batches("valid", batch_size, shuffle=False)
    first = next(iter(corpus.batches("valid", batch_size, shuffle=False)), None)
    has_globals = bool(draw_globals(model, guide, first, VALIDATION_SEED, 1))
    result = log_likelihood(
        model,
        guide,
        batches,
        num_samples=1,
        seed=VALIDATION_SEED,
        num_global_draws=GLOBAL_DRAWS if has_globals else None,
        sum_labels=False,
    )
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
    )
