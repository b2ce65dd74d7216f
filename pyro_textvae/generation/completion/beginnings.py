# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents that go on after a beginning: p(the rest | the first sentences)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn
from torch.nn.functional import pad

from pyro_textvae.config.checks import at_least, check_argument
from pyro_textvae.contract import TEXT_SITE, TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.generation.sampling import sample
from pyro_textvae.infer.batches import check_text
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import fields_of, name_of, simulate
from pyro_textvae.infer.sites import latent_sites, random_sites
from pyro_textvae.nn.number_of_sentences import NUMBER_SITE
from pyro_textvae.special_tokens import PAD


@dataclass(frozen=True, eq=False)
class Continuations:
    """Documents that begin as one does, and how good the draws are.

    tokens
        ``(N, S, T)``, the beginning included.
    effective_particles
        How many draws of the latents of the beginning the weighted ones are worth.
    num_particles
        Of how many.
    """

    tokens: Tensor
    effective_particles: float
    num_particles: int

    def describe(self) -> str:
        """One line for a person."""
        return (
            f"latents of the beginning: {self.effective_particles:.1f} effective of "
            f"{self.num_particles} draws of the guide"
        )


def continue_documents(
    model: nn.Module,
    guide: nn.Module,
    beginning: Tensor,
    *,
    size: int = 5,
    num_particles: int = 500,
    unknown: bool = True,
    seed: int = 0,
) -> Continuations:
    r"""Draws of whole documents whose first sentences are given.

    .. math::
        p(x_{s+1}, \dots, x_S, S \mid x_1, \dots, x_s, S > s)

    The latents of the beginning are drawn from the guide and weighed, by what is said of a document
    that goes on: the number of sentences counts as one of more than s. N of them are drawn by
    their weights; what is new in the sentences to come is drawn from the prior.

    >>> from pyro_textvae.guides import DocumentGuide
    >>> from pyro_textvae.models import DocumentVAE
    >>> from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    >>> decoder = GRUDecoder(**sizes, latent_dim=5, max_length=6)
    >>> model = DocumentVAE(StandardNormal(3), decoder, 3, max_sentences=4, plan_dim=5)
    >>> guide = DocumentGuide(BagOfWordsEncoder(**sizes), latent_dim=3)
    >>> going_on = continue_documents(model, guide, torch.tensor([[[4, 5, 2]]]), size=2)
    >>> going_on.tokens.shape, going_on.tokens[:, 0, :3].tolist()
    (torch.Size([2, 4, 6]), [[4, 5, 2], [4, 5, 2]])

    :param beginning: its sentences, ``(1, s, T)``.
    :param size: N.
    :param num_particles: draws of the latents of the beginning.
    :param unknown: whether ``<unk>`` may be written in what is new.
    :raises UserError: for a model that writes no documents, and for a beginning that leaves no
        sentence to be written.
    """
    size = check_argument("size", size, int, at_least(1))
    num_particles = check_argument("num_particles", num_particles, int, at_least(1))
    check_text({TOKENS: beginning})
    most = getattr(model, "max_sentences", None)
    if most is None:
        raise UserError(f"{name_of(model)} writes no documents, so there is none to go on with")
    given = beginning.shape[1]
    if given >= most:
        raise UserError(
            f"the beginning has {given} sentences and a document of the model {most} at the most: "
            "leave one to be written"
        )
    with evaluation_mode(model, guide, seed):
        whole, parts, log_weights, numbers = _weighed(model, guide, beginning, num_particles)
        weights = log_weights.softmax(0)
        picked = torch.multinomial(weights, size, replacement=True)
        held = {name: value[picked] for name, value in whole.items()}
        held[NUMBER_SITE] = torch.multinomial(numbers[picked], 1)
    drawn = _of_prior(model, size, held, seed)
    for name, value in parts.items():
        later = drawn.nodes[name]["value"][:, given:]
        held[name] = torch.cat([value[picked], later], 1)
    text = drawn.nodes[TEXT_SITE]["value"]
    first = pad(beginning, (0, text.shape[-1] - beginning.shape[-1]), value=PAD)
    first = first.to(text.device).expand(size, -1, -1)
    # A model that writes sentence by sentence hears the beginning.
    for place in range(given):
        if f"{TEXT_SITE}_{place}" in drawn.nodes:
            held[f"{TEXT_SITE}_{place}"] = first[:, place : place + 1]
    written = sample(model, size, seed=seed, unknown=unknown, latents=held)
    effective = float(1 / weights.square().sum())
    return Continuations(torch.cat([first, written[:, given:]], 1), effective, num_particles)


def _weighed(
    model: nn.Module, guide: nn.Module, beginning: Tensor, num_particles: int
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor]:
    """Latents of the whole, those of its sentences, log weights, and p(S) with none of S <= s.

    Each with ``num_particles`` rows.
    """
    batch = to_device({TOKENS: beginning.expand(num_particles, -1, -1)}, model)
    drawn = poutine.trace(guide).get_trace(**fields_of(guide, batch))
    scored: Any = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(
        **fields_of(model, batch)
    )
    whole: dict[str, Tensor] = {}
    parts: dict[str, Tensor] = {}
    for name, site in latent_sites(drawn):
        plates = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
        (parts if plates[1:] else whole)[name] = site["value"]
    numbers: Tensor = scored.nodes[NUMBER_SITE]["fn"].probs.flatten(0, -2)
    numbers = numbers.expand(num_particles, -1).clone()
    numbers[:, : beginning.shape[1]] = 0.0
    log_weights = numbers.sum(-1).double().log()
    for trace, sign in ((scored, 1.0), (drawn, -1.0)):
        trace.compute_log_prob(lambda name, site: name != NUMBER_SITE)
        for _, site in random_sites(trace):
            if "log_prob" in site:
                of_rows: Tensor = site["log_prob"].double()
                log_weights = log_weights + sign * of_rows.expand(num_particles, -1).sum(-1)
    return whole, parts, log_weights, numbers


def _of_prior(model: nn.Module, size: int, held: Mapping[str, Tensor], seed: int) -> Any:
    """A trace of whole documents, with the latents of the whole held."""
    with evaluation_mode(model, model, seed + 1), poutine.condition(data=dict(held)):
        return simulate(model, size)
