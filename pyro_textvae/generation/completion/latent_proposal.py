# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the latents of a sentence with holes are drawn from: no guide has seen a hole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.distributions.point_mass import is_point_mass
from pyro_textvae.evaluation.latents.guide_density import (
    NoDensityError,
    draws_of,
    log_prob_by_site,
)
from pyro_textvae.generation.completion.text_given_latents import (
    TextGivenLatents,
    repeated,
    text_given_latents,
)
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.batches import Fields
from pyro_textvae.infer.plates import find_plates
from pyro_textvae.infer.running import to_device
from pyro_textvae.infer.simulate import Condition, fields_of
from pyro_textvae.infer.sites import auxiliary_sites, latent_sites

PRIOR_SHARE = 0.5
"""Of the draws, beside those of the guide: no weight can exceed the inverse of it."""


@dataclass(frozen=True, eq=False)
class WeightedLatents:
    """Latents with p(z) / q(z), q what they were drawn from.

    log_weights
        With what is observed beside the text, ``(K,)`` float64, nats.
    """

    given: TextGivenLatents
    log_weights: Tensor


def from_prior(model: nn.Module, condition: Condition, size: int) -> WeightedLatents:
    """``size`` draws from the prior, or one where there is no latent."""
    given = text_given_latents(model, condition, 1, {})
    if given.log_prior:
        given = text_given_latents(model, condition, size, {})
    return WeightedLatents(given, given.log_observed)


def from_guide(
    model: nn.Module, guide: nn.Module, condition: Condition, size: int, sentences: Tensor
) -> WeightedLatents:
    r"""Draws from the guide's posteriors of whole sentences and from the prior.

    .. math::
        q(z) = \alpha \, p(z) + \frac{1 - \alpha}{J} \sum_j q(z \mid x_j)

    Each draw is weighed by the density of all of it, whichever part made the draw.

    Source: Veach and Guibas (1995), Optimally combining sampling techniques, section 3.2,
    https://doi.org/10.1145/218380.218498.

    :param sentences: ids ``(J, T)``, such as likely completions.
    :raises NoDensityError: for a guide that can score its own draws alone.
    """
    of_guide_at_most = max(1, round((1 - PRIOR_SHARE) * size))
    sentences = sentences[:of_guide_at_most]
    batch = _batch_of(guide, condition, sentences)
    plates = find_plates(model, guide, (), batch)
    each = of_guide_at_most // len(sentences)
    of_guide = {n: v.flatten(0, 1) for n, v in draws_of(guide, batch, plates, each).items()}
    count = each * len(sentences)
    of_prior = text_given_latents(model, condition, max(1, size - count), {}).latents
    size = count + len(next(iter(of_prior.values())))
    latents = {name: torch.cat([of_prior[name], value]) for name, value in of_guide.items()}
    given = text_given_latents(model, condition, size, latents)
    log_prior = torch.stack(list(given.log_prior.values())).sum(0)
    pairs = {
        name: value.unsqueeze(1).expand(size, len(sentences), *value.shape[1:])
        for name, value in latents.items()
    }
    by_site = log_prob_by_site(guide, batch, plates, pairs)
    log_guide = torch.stack(list(by_site.values())).sum(0)
    log_proposal = torch.cat(
        [
            log_prior.unsqueeze(1) + math.log((size - count) / size),
            log_guide + math.log(count / size / len(sentences)),
        ],
        1,
    ).logsumexp(1)
    return WeightedLatents(given, log_prior - log_proposal + given.log_observed)


def why_not_from_guide(
    model: nn.Module, guide: nn.Module, condition: Condition, sentences: Tensor
) -> str | None:
    """Why the latents cannot be drawn from the guide; None where they can."""
    in_model = text_given_latents(model, condition, 1, {}).log_prior.keys()
    batch = _batch_of(guide, condition, sentences)
    trace = trace_guide(guide, **fields_of(guide, batch))
    sites = dict(latent_sites(trace))
    if missing := [name for name in in_model if name not in sites]:
        return f"it does not draw {', '.join(missing)}"
    if auxiliary := auxiliary_sites(trace):
        return f"it makes its latents of {auxiliary[0][0]}"
    for name, site in sites.items():
        if is_point_mass(site["fn"]):
            return f"its {name} is one point, without a density"
    plates = find_plates(model, guide, (), batch)
    for name in sites:
        if plates.sites[name].inner:
            return f"its {name} has a second plate"
    values = {name: v[:1] for name, v in draws_of(guide, batch, plates, 1).items()}
    try:
        log_prob_by_site(guide, batch, plates, values)
    except NoDensityError as error:
        return str(error)
    return None


def _batch_of(guide: nn.Module, condition: Condition, sentences: Tensor) -> Fields:
    rows = repeated(condition, len(sentences))
    fields = {} if isinstance(rows, int) else dict(rows)
    return to_device({**fields, TOKENS: sentences}, guide)
