# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a completion found: sentences with their probabilities given what was given."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.generation.completion.particles import Particles


@dataclass(frozen=True, eq=False)
class Completions:
    """Distinct sentences that match a template, the likeliest first.

    tokens
        Ids ``(M, T)``, ``<pad>`` after ``<eos>``.
    probability
        Estimate of p(sentence | what is given), ``(M,)`` float64; together 1.
    log_evidence
        Estimate of the log-probability that a sentence of the model matches, nats.
    effective_particles
        How many independent draws of the latents the estimates are worth; without a latent, of
        the words. None where nothing was drawn: then the estimates are exact.
    num_particles
        Of how many it is.
    """

    tokens: Tensor
    probability: Tensor
    log_evidence: float
    effective_particles: float | None
    num_particles: int
    notes: tuple[str, ...] = ()
    """What the reader should know."""

    @staticmethod
    def of(
        particles: Particles,
        num_rows: int,
        notes: tuple[str, ...] = (),
        *,
        has_latents: bool = True,
    ) -> Completions:
        """Those of weighted sentences, of which those that say the same are one.

        :param num_rows: draws of the latents, or one row without a latent.
        """
        log_total = particles.log_weights.logsumexp(0)
        weights = (particles.log_weights - log_total).exp()
        tokens, group = particles.words.unique(dim=0, return_inverse=True)
        probability = weights.new_zeros(len(tokens)).index_add(0, group, weights)
        order = probability.argsort(descending=True, stable=True)
        lineages, line = particles.lineage.unique(return_inverse=True)
        of_lineage = weights.new_zeros(len(lineages)).index_add(0, line, weights)
        is_exact = not has_latents and len(lineages) == 1
        return Completions(
            tokens[order],
            probability[order],
            (log_total - torch.tensor(float(num_rows)).log()).item(),
            None if is_exact else (1 / of_lineage.square().sum()).item(),
            max(num_rows, len(lineages)),
            notes,
        )

    def draw(self, size: int, *, seed: int = 0) -> Tensor:
        """Sentences drawn by their probabilities, ids ``(size, T)``; the same for a seed."""
        generator = torch.Generator().manual_seed(seed)
        index = torch.multinomial(
            self.probability.cpu(), size, replacement=True, generator=generator
        )
        return self.tokens[index.to(self.tokens.device)]

    def probability_of(self, row: Tensor) -> float:
        """The probability of one of the sentences, ids ``(T,)``."""
        return self.probability[(self.tokens == row).all(-1)].sum().item()

    def describe(self) -> str:
        """How good the estimates are, in one line."""
        if self.effective_particles is None:
            return f"exact over the {len(self.tokens):,} sentences that match"
        return (
            f"effective number of particles {self.effective_particles:.1f} of "
            f"{self.num_particles:,}; log p(what is given) {self.log_evidence:.2f} nats"
        )
