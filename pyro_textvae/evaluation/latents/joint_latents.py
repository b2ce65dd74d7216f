# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Several latent sites of a split together, whose posteriors may depend on each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_textvae.contract import PARTICLE_PLATE
from pyro_textvae.evaluation.enumeration.integrated_model import IntegratedModel
from pyro_textvae.evaluation.latents.aggregate_posterior import AggregateLogProb
from pyro_textvae.evaluation.latents.guide_density import draws_of, log_prob_by_site
from pyro_textvae.infer.plates import Plates
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import random_sites
from pyro_textvae.infer.terms import by_datum

_NESTED_DRAWS = 16
_DRAWS_COMPARED = 8


@dataclass(frozen=True)
class SiteInformation:
    """What one latent site of several knows of the sentences; nats per sentence.

    mutual_information
        Of the site alone, whatever the others are. Where its posterior depends on the draws of
        others, it is averaged over 16 of them for each sentence, the same for numerator and
        denominator: a lower bound, in expectation, of what exact averages would give.
    added
        Given the sites before it: the mutual information of all sites up to this one, less that of
        those before. Over all sites these sum to the joint one.
    standard_error, added_standard_error
        Of the draws, the sentences being given, and what is averaged over.
    depends_on_others
        Whether its posterior does.
    """

    mutual_information: float
    standard_error: float
    added: float
    added_standard_error: float
    depends_on_others: bool


class JointLatents:
    """The latents of a split as one vector; densities by running the guide at given values.

    :param batches: of the split, on the device of the programs.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        batches: Sequence[Mapping[str, Tensor]],
        plates: Plates,
    ) -> None:
        self.model = model
        self.guide = guide
        self.batches = list(batches)
        self.plates = plates
        first = draws_of(guide, self.batches[0], plates, 1)
        self._like = {name: value[0, 0] for name, value in first.items()}

    @property
    def names(self) -> list[str]:
        """The sites in the order in which the guide draws them."""
        return list(self._like)

    def draw(self, num_draws: int) -> tuple[Tensor, Tensor]:
        """z ``(N K, D)``, the draws of a sentence together, and log p(z) ``(N K,)`` float64."""
        values, log_priors = [], []
        for batch in self.batches:
            drawn = draws_of(self.guide, batch, self.plates, num_draws)
            values.append(self._joined(drawn))
            placed = {name: self.plates.as_in_program(name, v) for name, v in drawn.items()}
            if isinstance(self.model, IntegratedModel):
                dim = self.plates.particle_dim
                log_prior = self.model.log_prior(placed, batch, num_draws, dim)
                log_priors.append(log_prior.double())
                continue
            program = poutine.condition(self.model, data=placed)
            with pyro.plate(PARTICLE_PLATE, num_draws, dim=self.plates.particle_dim):
                trace = poutine.trace(program).get_trace(**fields_of(self.model, batch))
            shape = values[-1].shape[:2]
            log_priors.append(
                torch.stack(
                    [
                        by_datum(name, site, site["fn"].log_prob(site["value"])).expand(shape)
                        for name, site in random_sites(trace)
                        if name in drawn
                    ]
                )
                .double()
                .sum(0)
            )
        return (
            torch.cat(values, 1).transpose(0, 1).flatten(0, 1),
            torch.cat(log_priors, 1).transpose(0, 1).flatten(0, 1),
        )

    def pairs(self, z: Tensor) -> Tensor:
        """log q of each site of every draw under every sentence, ``(sites, S, N)`` float64.

        Given the sites before it. Their sum is log q(z_s | x_n).

        :raises NoDensityError: for a guide that can score its own draws alone.
        """
        columns = []
        for batch in self.batches:
            size = self._size(batch)
            values = {n: v.unsqueeze(1).expand(-1, size, *v.shape[1:]) for n, v in self._apart(z)}
            log_q = log_prob_by_site(self.guide, batch, self.plates, values)
            columns.append(torch.stack([log_q[name] for name in self.names]))
        return torch.cat(columns, 2)

    @cached_property
    def dependent(self) -> list[str]:
        """The sites whose posteriors depend on the draws of others."""
        batch = self.batches[0]
        drawn = draws_of(self.guide, batch, self.plates, _DRAWS_COMPARED)
        whole = log_prob_by_site(self.guide, batch, self.plates, drawn)
        found = []
        for name in self.names:
            others = {n: v if n == name else v.roll(1, 0) for n, v in drawn.items()}
            moved = log_prob_by_site(self.guide, batch, self.plates, others)[name]
            if not torch.allclose(moved, whole[name], rtol=1e-5, atol=1e-5):
                found.append(name)
        return found

    def by_site(self, z: Tensor, sentence: Tensor, pairs: Tensor) -> dict[str, SiteInformation]:
        """What each site knows, alone and beside those before it.

        :param z: draws ``(S, D)``. :param sentence: of which sentence each is, ``(S,)``.
        :param pairs: see :meth:`pairs`.
        """
        values = dict(self._apart(z))
        before = torch.zeros_like(pairs[0, :, 0])
        found = {}
        for place, name in enumerate(self.names):
            up_to = AggregateLogProb.of_pairs(pairs[: place + 1].sum(0), sentence)
            together = up_to.own - up_to.included
            if name in self.dependent:
                log_q = self._averaged_over_others(name, values[name])
            else:
                log_q = pairs[place].clone()
            alone = AggregateLogProb.of_pairs(log_q, sentence)
            found[name] = SiteInformation(
                *_mean_and_error(alone.own - alone.included),
                *_mean_and_error(together - before),
                name in self.dependent,
            )
            before = together
        return found

    def _averaged_over_others(self, name: str, value: Tensor) -> Tensor:
        """log of the mean of q(z_s | others, x_n) over draws of the others, ``(S, N)``.

        With the same draws for a sentence's own and for others' z, exp of it is a normalised
        density of z for every sentence: a bound on the information, whatever the draws are.

        Source: Barber and Agakov (2003), The IM algorithm,
        https://papers.nips.cc/paper/2003/hash/a6ea8471c120fe8cc35a2954c9b9c595-Abstract.html.
        """
        columns = []
        count = len(value)
        for batch in self.batches:
            size = self._size(batch)
            others = draws_of(self.guide, batch, self.plates, _NESTED_DRAWS)
            values = {
                n: v.expand(count, *v.shape).flatten(0, 1) for n, v in others.items() if n != name
            }
            shape = (count, _NESTED_DRAWS, size)
            own = value[:, None, None].expand(*shape, *value.shape[1:]).flatten(0, 1)
            log_q = log_prob_by_site(self.guide, batch, self.plates, {**values, name: own})[name]
            columns.append(log_q.reshape(shape).logsumexp(1) - math.log(_NESTED_DRAWS))
        return torch.cat(columns, 1)

    def _size(self, batch: Mapping[str, Tensor]) -> int:
        return len(next(iter(batch.values())))

    def _joined(self, values: Mapping[str, Tensor]) -> Tensor:
        flat = [v.reshape(*v.shape[:2], -1) for v in (values[name] for name in self.names)]
        return torch.cat(flat, -1)

    def _apart(self, z: Tensor) -> list[tuple[str, Tensor]]:
        sizes = [like.numel() for like in self._like.values()]
        return [
            (name, part.reshape(len(z), *like.shape).to(like.dtype))
            for (name, like), part in zip(self._like.items(), z.split(sizes, -1), strict=True)
        ]


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return values.mean().item(), error
