# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is measured on the validation split after every epoch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pyro_textvae.data import Corpus
from pyro_textvae.evaluation import information, log_likelihood

VALIDATION_SEED = 20_000
"""Every epoch is validated with the same draws, so that epochs differ by the model alone."""


@dataclass(frozen=True)
class Validation:
    """Means over the validation split; nats per sentence.

    elbo, reconstruction, kl
        The negative bound, unweighted whatever the objective is, and the terms it is the sum of.
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
    result = log_likelihood(model, guide, batches, num_samples=1, seed=VALIDATION_SEED)
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
