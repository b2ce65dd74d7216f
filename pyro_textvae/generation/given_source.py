# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Latents given a source, in a model that draws the source too."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.contract import SOURCE_ALONE, TOKENS
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.infer.running import evaluation_mode, to_device

CANDIDATES = 64
"""Draws of the guide for each draw that is made of them."""


def latents_given_source(
    model: nn.Module,
    guide: nn.Module,
    source: Tensor,
    *,
    num_candidates: int = CANDIDATES,
    seed: int = 0,
) -> dict[str, Tensor]:
    r"""One draw for each row of the latents that the source tells of, by resampling.

    .. math::
        z_k \sim q(z \mid s), \quad k = 1, \dots, K, \qquad
        \Pr(z = z_k) \propto \frac{p(s, z_k)}{q(z_k \mid s)}

    The posterior itself as K grows, whatever the guide. Equal sources have candidates of their own
    each, and are read by the guide once.

    Source: Rubin (1988), Using the SIR Algorithm to Simulate Posterior Distributions, Bayesian
    Statistics 3, 395-402.

    :param model, guide: programs with a method ``source_alone``.
    :param source: ids ``(N, S)``.
    :returns: by latent site, ``(N, ...)``.
    """
    distinct, row_of, counts = torch.unique(source, dim=0, return_inverse=True, return_counts=True)
    number = _number_among_equals(row_of)
    rounds = int(counts.max())
    alone = (getattr(model, SOURCE_ALONE)(), getattr(guide, SOURCE_ALONE)())
    with evaluation_mode(*alone, seed), torch.no_grad():
        batch = to_device({TOKENS: distinct}, model)
        candidates, log_q = Posteriors(*alone, batch, seed).sample(num_candidates * rounds, 0)
        log_weights = Target(alone[0], batch)(candidates).total - log_q
        # (rounds, K, distinct sources)
        log_weights = log_weights.unflatten(0, (rounds, num_candidates))
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(log_weights.shape, generator=generator, dtype=torch.float64)
        # The largest after Gumbel noise is a draw in proportion to the weights.
        noise = -(-uniform.clamp(min=torch.finfo(torch.float64).tiny).log()).log()
        taken = (log_weights.double().cpu() + noise).argmax(1)[number, row_of.cpu()]
    place = number * num_candidates + taken
    return {name: value[place, row_of] for name, value in candidates.items()}


def draws_source(model: nn.Module) -> bool:
    """Whether the model draws its source too, so that its own draws do not follow one given."""
    return hasattr(model, SOURCE_ALONE)


def _number_among_equals(rows: Tensor) -> Tensor:
    """For each entry, how many before it are equal to it; int64 ``(N,)``."""
    seen: dict[int, int] = {}
    numbers = []
    for row in rows.tolist():
        numbers.append(seen.get(row, 0))
        seen[row] = numbers[-1] + 1
    return torch.tensor(numbers)
