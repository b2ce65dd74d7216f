# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""p(what is missing | what is given): holes filled, a prompt continued, an end given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pyro_textvae.config.checks import at_least, check_argument
from pyro_textvae.contract import TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.over_globals import given_one_draw
from pyro_textvae.generation.completion.completions import Completions
from pyro_textvae.generation.completion.filling import fill
from pyro_textvae.generation.completion.latent_proposal import (
    WeightedLatents,
    from_guide,
    from_prior,
    why_not_from_guide,
)
from pyro_textvae.generation.completion.particles import Particles
from pyro_textvae.generation.completion.template import Template, check_fits
from pyro_textvae.generation.completion.text_given_latents import text_given_latents
from pyro_textvae.generation.completion.thinning import thin
from pyro_textvae.infer.batches import check_batch
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.infer.simulate import Condition, size_of
from pyro_textvae.progress_bar import progress_bar
from pyro_textvae.special_tokens import EOS

if TYPE_CHECKING:
    from tqdm import tqdm

SENTENCES_OF_PROPOSAL = 50
"""Completions of a round whose posteriors the next one draws its latents from."""


def complete(
    model: nn.Module,
    guide: nn.Module,
    template: Template,
    *,
    condition: Mapping[str, Tensor] | None = None,
    num_particles: int = 500,
    num_candidates: int = 2000,
    rounds: int = 2,
    seed: int = 0,
    progress: bool = False,
) -> Completions:
    r"""Sentences that match a template, with their probabilities under the model.

    .. math::
        p(x_{\text{missing}} \mid x_{\text{given}}) \propto \int p(z) \, p(x \mid z) \, dz

    The latents are not known, and the guide has never seen a hole. In the first round they are
    drawn from the prior, and the holes are filled from left to right, what is put into each weighed
    by how likely that makes what is given after it (see
    :func:`~pyro_textvae.generation.completion.filling.fill`); in every later one they are drawn
    from the guide's posteriors of the whole sentences that the round before found, and from the
    prior (see :func:`~pyro_textvae.generation.completion.latent_proposal.from_guide`). The
    estimates are those of the last round alone, which are weighed, so a poor guide costs particles
    and no truth. Where there are at most ``num_candidates`` pairs of a particle and a word, a hole
    of one word is summed over the whole vocabulary.

    Source: Chopin and Papaspiliopoulos (2020), An Introduction to Sequential Monte Carlo, chapter
    10, https://doi.org/10.1007/978-3-030-47845-2, for the look-ahead.

    >>> from pyro_textvae.generation.completion import Hole
    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> word = Hole(torch.arange(9) >= 3)
    >>> found = complete(model, guide, Template(runs=((4,), (5, 2)), holes=(word,)))
    >>> found.tokens.shape, round(found.probability.sum().item(), 6)
    (torch.Size([6, 4]), 1.0)

    :param condition: a batch of one row with what the model is conditioned on, such as ``source``.
    :param num_particles: draws of the latents, and beginnings that go on after a hole.
    :param num_candidates: pairs of a beginning and a word that are looked at for a hole of one
        token.
    :param rounds: of latents; 1 for those of the prior alone.
    :param progress: whether to show a bar on a terminal, where it takes more than a second.
    :raises UserError: for a template that is longer than the model's sentences, a model whose text
        is no :class:`~pyro_textvae.distributions.AutoregressiveCategorical`, a condition without a
        field that the model needs, and where no sentence that matches has a probability.
    """
    num_particles = check_argument("num_particles", num_particles, int, at_least(1))
    num_candidates = check_argument("num_candidates", num_candidates, int, at_least(1))
    rounds = check_argument("rounds", rounds, int, at_least(1))
    given: Condition = 1
    fields: dict[str, Tensor] = {}
    if condition is not None:
        check_batch(condition)
        if size_of(condition) != 1:
            raise UserError(f"the condition must have 1 row, got {size_of(condition)}")
        fields = {name: value for name, value in condition.items() if name != TOKENS}
        given = condition
    sentence = {TOKENS: torch.tensor([[EOS]])} | fields
    with (
        evaluation_mode(model, guide, seed),
        given_one_draw(model, guide, [sentence], seed),
        progress_bar(
            total=rounds * len(template.holes),
            shown=progress,
            delay=1,
            desc="completion",
        ) as bar,
    ):
        text = text_given_latents(model, given, 1, {}).text
        check_fits(template, text.max_length)
        _check_vocabulary(template, text.network.vocab_size)
        latents = from_prior(model, given, num_particles)
        particles = _fill(latents, template, num_particles, num_candidates, bar)
        notes: tuple[str, ...] = ()
        for _ in range(rounds - 1 if latents.given.log_prior else 0):
            likely = _likely_sentences(particles)
            if reason := why_not_from_guide(model, guide, given, likely):
                notes = (f"latents are drawn from the prior, not from the guide: {reason}",)
                break
            latents = from_guide(model, guide, given, num_particles, likely)
            particles = _fill(latents, template, num_particles, num_candidates, bar)
        return Completions.of(
            particles,
            len(latents.log_weights),
            notes,
            has_latents=bool(latents.given.log_prior),
        )


def _fill(
    latents: WeightedLatents,
    template: Template,
    num_particles: int,
    num_candidates: int,
    bar: tqdm[Any],
) -> Particles:
    particles = fill(
        latents.given.text,
        latents.log_weights,
        template,
        num_particles=num_particles,
        num_candidates=num_candidates,
        on_hole=bar.update,
    )
    possible = (particles.log_weights > -torch.inf).nonzero(as_tuple=True)[0]
    if not len(possible):
        raise UserError(
            "no sentence of the model that matches was found: its probability is too small for "
            "float64, or nothing may stand in a hole"
        )
    return particles.select(possible)


def _likely_sentences(particles: Particles) -> Tensor:
    """Distinct ones, drawn by their weights; ids ``(J, T)`` that end in ``<eos>``."""
    found = Completions.of(particles, 1)
    kept, _ = thin(found.probability.log(), SENTENCES_OF_PROPOSAL)
    return found.tokens[kept]


def _check_vocabulary(template: Template, vocab_size: int) -> None:
    for hole in template.holes:
        if len(hole.first) != vocab_size:
            raise ValueError(
                f"the template is of a vocabulary of {len(hole.first)} tokens, the model's has "
                f"{vocab_size}"
            )
