# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the latents know of a text beyond what they know of its source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TEXT_SITE, TOKENS
from pyro_textvae.evaluation.latents.aggregate_posterior import AggregateLogProb
from pyro_textvae.evaluation.latents.guide_density import draws_of, log_prob_by_site
from pyro_textvae.infer.masked_text import without_masked
from pyro_textvae.infer.plates import Plates, SitePlates
from pyro_textvae.infer.simulate import simulate
from pyro_textvae.special_tokens import PAD

NUM_TEXTS = 32
"""Texts for each source, which the model makes: a corpus has one or few of a source."""
MOST_SOURCES = 64


@dataclass(frozen=True)
class InformationGivenSource:
    r"""I(x; z | source) of the guide's latents and of texts that the model makes; nats.

    .. math::
        I_M = \frac{1}{N M} \sum_{n,m} \log q(z_{nm} \mid x_{nm}, s_n)
        - \log \frac{1}{M} \sum_j q(z_{nm} \mid x_{nj}, s_n), \qquad
        x_{nm} \sim p(x \mid s_n), \quad z_{nm} \sim q(z \mid x_{nm}, s_n)

    mutual_information
        Below the information under all texts of a source, and below ln M, in expectation.
    standard_error
        Over sources.
    upper
        The same with a text's own posterior left out of the mean: above it, in expectation.
    """

    mutual_information: float
    standard_error: float
    upper: float
    num_texts: int
    num_sources: int

    @property
    def ceiling(self) -> float:
        """ln M, the most that the lower bound can be."""
        return math.log(self.num_texts)


def information_given_source(
    model: nn.Module,
    guide: nn.Module,
    batches: Sequence[Mapping[str, Tensor]],
    plates: Plates,
    *,
    num_texts: int = NUM_TEXTS,
    most_sources: int = MOST_SOURCES,
) -> InformationGivenSource:
    """Estimate it on some of the sources of a split, spread evenly over it.

    Source: Poole et al. (2019), On variational bounds of mutual information,
    https://arxiv.org/abs/1905.06922, for both bounds.

    :param batches: on the device of the programs, with what the model is conditioned on.
    :raises NoDensityError: for a guide that can score its own draws alone.
    """
    total = sum(len(batch[TOKENS]) for batch in batches)
    count = min(total, most_sources)
    wanted = torch.linspace(0, total - 1, count, dtype=torch.float64).round().long()
    lower, upper = [], []
    first = 0
    for batch in batches:
        size = len(batch[TOKENS])
        rows = wanted[(wanted >= first) & (wanted < first + size)] - first
        first += size
        for row in rows.tolist():
            fields = {
                name: value[row].expand(num_texts, *value[row].shape)
                for name, value in batch.items()
            }
            bounds = _of_one_source(model, guide, fields, plates)
            lower.append(bounds[0])
            upper.append(bounds[1])
    of_sources = torch.stack(lower)
    error = of_sources.std().item() / math.sqrt(count) if count > 1 else math.nan
    return InformationGivenSource(
        of_sources.mean().item(), error, torch.stack(upper).mean().item(), num_texts, count
    )


def _of_one_source(
    model: nn.Module, guide: nn.Module, fields: Mapping[str, Tensor], plates: Plates
) -> tuple[Tensor, Tensor]:
    nodes: Any = simulate(model, fields).nodes
    site = nodes[TEXT_SITE]
    text = SitePlates.of(TEXT_SITE, site).datum_first(without_masked(site), particles=False)
    texts = {**fields, TOKENS: _without_padding(text)}
    drawn = draws_of(guide, texts, plates, 1)
    count = len(texts[TOKENS])
    # Draw s under the posterior of text m.
    crossed = {
        name: value[0].unsqueeze(1).expand(-1, count, *value.shape[2:])
        for name, value in drawn.items()
    }
    log_q = torch.stack(list(log_prob_by_site(guide, texts, plates, crossed).values())).sum(0)
    found = AggregateLogProb.of_pairs(log_q, torch.arange(count, device=log_q.device))
    return (found.own - found.included).mean(), (found.own - found.left_out).mean()


def _without_padding(text: Tensor) -> Tensor:
    """Texts without the columns that all of them have padding in."""
    if text.is_floating_point():
        return text
    columns = (text != PAD).flatten(0, -2).any(0).nonzero()
    return text[..., : int(columns.max()) + 1 if len(columns) else 1]
