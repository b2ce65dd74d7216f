# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Poems that go on after their first lines, such as the second line of a couplet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn
from torch.nn.functional import pad

from pyro_textvae.config.checks import at_least, check_argument
from pyro_textvae.contract import SOURCE, TEXT_SITE, TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.generation.completion.beginnings import Continuations
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.method import DecodingMethod
from pyro_textvae.generation.sampling import generate
from pyro_textvae.infer.batches import check_text
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import fields_of, simulate
from pyro_textvae.infer.sites import latent_sites, random_sites
from pyro_textvae.special_tokens import PAD


def continue_poem(
    model: nn.Module,
    guide: nn.Module,
    beginning: Tensor,
    *,
    source: Tensor,
    source_of_beginning: Tensor,
    size: int = 5,
    num_particles: int = 500,
    constraints: Constraints | None = None,
    method: str | DecodingMethod = "ancestral",
    seed: int = 0,
) -> Continuations:
    r"""Draws of poems of a form whose first lines are given.

    .. math::
        p(x_{l+1}, \dots, x_L \mid x_1, \dots, x_l, f)

    The latents of the beginning are drawn from the guide, given the first lines alone, and weighed
    by p over q; the poems go on from draws of these by their weights, and what is new in the lines
    to come is drawn from the prior.

    :param beginning: the first lines, ids ``(1, l, T)``.
    :param source: the form of the poem, ids ``(1, S)``.
    :param source_of_beginning: that of the first lines alone, as
        :meth:`~pyro_textvae.data.languages.verse_form.Form.beginning` has it.
    :param size: how many poems.
    :param num_particles: draws of the latents of the beginning.
    :param constraints: of the lines that are written, masks of the form among them.
    :param method: how their signs are chosen.
    :raises UserError: for a beginning that leaves no line to be written.
    """
    size = check_argument("size", size, int, at_least(1))
    num_particles = check_argument("num_particles", num_particles, int, at_least(1))
    check_text({TOKENS: beginning})
    given = beginning.shape[1]
    condition = {SOURCE: source.expand(size, -1)}
    with evaluation_mode(model, guide, seed):
        fields = {TOKENS: beginning, SOURCE: source_of_beginning}
        drawn, log_weights = _weighed(model, guide, fields, num_particles)
        weights = log_weights.softmax(0)
        picked = torch.multinomial(weights, size, replacement=True)
    with evaluation_mode(model, model, seed + 1):
        of_prior: Any = simulate(model, to_device(condition, model))
    text = of_prior.nodes[TEXT_SITE]["value"]
    if not (text[:, given:] != PAD).any():
        raise UserError(
            f"the beginning has {given} lines and the form no more: leave one to be written"
        )
    held = {}
    for name, value in drawn.items():
        later = of_prior.nodes[name]["value"][:, value.shape[1] :]
        # A latent of the poem has one place, and no later one.
        held[name] = torch.cat([value[picked], later], 1)
    first = pad(beginning, (0, text.shape[-1] - beginning.shape[-1]), value=PAD)
    first = first.to(text.device).expand(size, -1, -1)
    for place in range(given):
        if f"{TEXT_SITE}_{place}" in of_prior.nodes:
            held[f"{TEXT_SITE}_{place}"] = first[:, place : place + 1]
    written = generate(
        model, condition, method=method, seed=seed, constraints=constraints, latents=held
    )
    tokens = torch.cat([first, written.tokens[:, given:]], 1)
    return Continuations(tokens, float(1 / weights.square().sum()), num_particles)


def _weighed(
    model: nn.Module, guide: nn.Module, fields: Mapping[str, Tensor], num_particles: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Latents of the first lines from the guide, and their log weights, ``num_particles`` rows."""
    rows = {name: value.expand(num_particles, *value.shape[1:]) for name, value in fields.items()}
    batch = to_device(rows, model)
    drawn: Any = poutine.trace(guide).get_trace(**fields_of(guide, batch))
    scored: Any = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(
        **fields_of(model, batch)
    )
    log_weights = torch.zeros(num_particles, dtype=torch.double)
    for trace, sign in ((scored, 1.0), (drawn, -1.0)):
        trace.compute_log_prob()
        for _, site in random_sites(trace):
            of_rows = site["log_prob"].double().cpu()
            log_weights = log_weights + sign * of_rows.expand(num_particles, -1).sum(-1)
    return {name: site["value"] for name, site in latent_sites(drawn)}, log_weights
