# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The holes of a template, filled from left to right by sequential Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.generation.completion.particles import Particles
from pyro_textvae.generation.completion.prefixes import Prefixes
from pyro_textvae.generation.completion.template import Hole, Template
from pyro_textvae.generation.completion.thinning import thin
from pyro_textvae.special_tokens import EOS


def fill(
    text: AutoregressiveCategorical,
    log_weights: Tensor,
    template: Template,
    *,
    num_particles: int,
    num_candidates: int,
    on_hole: Callable[[], object] = lambda: None,
) -> Particles:
    r"""Sentences that match the template, weighted, each under the latents of a row of ``text``.

    A beginning grows by a hole and the run after it at once, so that what is put into the hole is
    weighed by how likely the run is after it: the look-ahead. Of all candidates ``num_particles``
    go on, by :func:`~pyro_textvae.generation.completion.thinning.thin`. So the sum of the weights
    of the sentences with a property, over the number of rows, is without bias

    .. math::
        \mathrm{E}_{q(z)} \Big[ \frac{p(z)}{q(z)} \sum_x p(x \mid z) \, 1[x \text{ matches and has
        the property}] \Big]

    :param text: of batch shape ``(K,)``.
    :param log_weights: p(z) / q(z) of each row, ``(K,)`` float64.
    :param num_candidates: pairs of a beginning and a word that the run is looked at for; where
        there are no more, every word is.
    :param on_hole: called when a hole is filled.
    """
    rows = torch.arange(len(log_weights), device=log_weights.device)
    first, *runs = template.runs
    words = torch.tensor(first, dtype=torch.long, device=rows.device).expand(len(rows), len(first))
    before_run = Prefixes.after(text, rows, words[:, :0])
    particles = Particles(
        rows,
        words,
        torch.full_like(rows, len(first)),
        log_weights + before_run.log_prob_of_run(first),
        rows,
    )
    # The most tokens up to a run, so that all after it still fits; of an open end nothing need.
    room = text.max_length - template.fewest_tokens + len(first) + template.is_open
    for number, (hole, run) in enumerate(zip(template.holes, runs, strict=True)):
        room += hole.fewest + len(run)
        if not len(particles):
            break
        is_last = number == len(runs) - 1
        if hole.further is None:
            particles = _one_token(text, particles, hole, run, num_candidates)
        elif is_last and template.is_open:
            particles = _to_the_end(text, particles.multiplied(num_particles), hole)
        else:
            particles = _several_tokens(
                text, particles.multiplied(num_particles), hole, run, room - len(run)
            )
        particles = particles.weighing(particles.log_weights.nan_to_num(-torch.inf))
        if not is_last:
            particles = particles.thinned(num_particles)
        on_hole()
    if sum(hole.further is not None for hole in template.holes) > 1 and len(particles):
        # A sentence that can be read in several ways came about in each of them.
        readings = template.log_readings(particles.words)
        particles = particles.weighing(particles.log_weights - readings)
    return particles


def _one_token(
    text: AutoregressiveCategorical,
    particles: Particles,
    hole: Hole,
    run: Sequence[int],
    num_candidates: int,
) -> Particles:
    """Every word in the hole, or a share of the pairs of a beginning and a word."""
    groups = list(particles.by_length())
    after = [Prefixes.after(text, g.rows, g.words[:, :length]) for length, g in groups]
    pairs = [
        _masked(prefixes, hole.first) + group.log_weights.unsqueeze(1)
        for prefixes, (_, group) in zip(after, groups, strict=True)
    ]
    kept, log_weights = thin(torch.cat([each.flatten() for each in pairs]), num_candidates)
    is_drawn = len(kept) < sum(int((each > -torch.inf).sum()) for each in pairs)
    parts, offset = [], 0
    for prefixes, (length, group), each in zip(after, groups, pairs, strict=True):
        of_group = (kept >= offset) & (kept < offset + each.numel())
        pair = kept[of_group] - offset
        offset += each.numel()
        index = torch.div(pair, each.shape[1], rounding_mode="floor")
        words = pair % each.shape[1]
        total = log_weights[of_group] + prefixes.look_ahead(index, words, run)
        parts.append(_with_more(group, length, index, [words], run, total))
    grown = Particles.together(parts)
    return grown.with_lineages() if is_drawn else grown


def _several_tokens(
    text: AutoregressiveCategorical,
    particles: Particles,
    hole: Hole,
    run: Sequence[int],
    longest: int,
) -> Particles:
    """One way on from each beginning, and all places at which the run may follow it.

    :param longest: the most tokens that there is room for before the run.
    """
    parts = []
    for length, group in particles.by_length():
        prefixes = Prefixes.after(text, group.rows, group.words[:, :length])
        index = torch.arange(len(group), device=group.rows.device)
        log_weights = group.log_weights
        drawn: list[Tensor] = []
        for place in range(max(longest - length, 0) + 1):
            if place >= hole.fewest:
                total = log_weights + prefixes.log_prob_of_run(run)
                parts.append(_with_more(group, length, index, drawn, run, total))
            if length + place >= longest:
                break
            words, log_mass = _draw(_masked(prefixes, hole.allowed(place)))
            log_weights = log_weights + log_mass
            drawn = [*drawn, words]
            prefixes = prefixes.extended(words)
    return Particles.together(parts) if parts else particles.select(particles.rows[:0])


def _to_the_end(text: AutoregressiveCategorical, particles: Particles, hole: Hole) -> Particles:
    """Words drawn until the sentence ends, or is cut off where the model does."""
    parts = []
    for length, group in particles.by_length():
        if length == text.max_length:
            parts.append(group)
            continue
        prefixes = Prefixes.after(text, group.rows, group.words[:, :length])
        log_weights, drawn = group.log_weights, []
        alive = torch.ones(len(group), dtype=torch.bool, device=group.rows.device)
        for place in range(text.max_length - length):
            allowed = hole.allowed(place).clone()
            allowed[EOS] = True
            words, log_mass = _draw(_masked(prefixes, allowed))
            log_weights = log_weights + torch.where(alive, log_mass, 0.0)
            drawn.append(torch.where(alive, words, 0))
            alive = alive & (words != EOS)
            if not alive.any():
                break
            prefixes = prefixes.extended(words)
        index = torch.arange(len(group), device=group.rows.device)
        parts.append(_with_more(group, length, index, drawn, (), log_weights))
    return Particles.together(parts)


def _masked(prefixes: Prefixes, allowed: Tensor) -> Tensor:
    log_next = prefixes.log_next()
    return log_next.masked_fill(~allowed.to(log_next.device), -torch.inf)


def _draw(log_prob: Tensor) -> tuple[Tensor, Tensor]:
    """A word of those that are possible, and the log of what they have of the probability."""
    log_mass = log_prob.logsumexp(-1)
    share = (log_prob - log_mass.unsqueeze(-1)).exp()
    # Where nothing is possible any word will do: its weight is zero.
    share = torch.where(log_mass.isfinite().unsqueeze(-1), share, 1.0)
    return torch.multinomial(share, 1).squeeze(-1), log_mass


def _with_more(
    group: Particles,
    length: int,
    index: Tensor,
    drawn: Sequence[Tensor],
    run: Sequence[int],
    log_weights: Tensor,
) -> Particles:
    """Beginnings with what a hole holds, one column a token, and the run after it."""
    given = torch.tensor(run, dtype=torch.long, device=index.device).expand(len(index), len(run))
    columns = [column.unsqueeze(1) for column in drawn]
    words = torch.cat([group.words[index, :length], *columns, given], 1)
    lengths = torch.full_like(index, words.shape[1])
    return Particles(group.rows[index], words, lengths, log_weights, group.lineage[index])
