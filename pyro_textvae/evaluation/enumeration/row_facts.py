# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a pair of programs says of sentences under values of what is summed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor

from pyro_textvae.contract import PARTICLE_PLATE, TOKENS
from pyro_textvae.evaluation.enumeration.given_values import GivenValues
from pyro_textvae.evaluation.enumeration.integrated_model import IntegratedModel
from pyro_textvae.evaluation.sentences import seed_of, sentence_key, single_sentences
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.plates import find_plates
from pyro_textvae.infer.running import device_of, seed_generator, to_device
from pyro_textvae.infer.sites import SUMMED_OUT, auxiliary_sites, latent_sites, random_sites
from pyro_textvae.infer.terms import by_datum


@dataclass(frozen=True)
class RowFacts:
    """Of R rows, each a sentence with values of the summed sites, ``(R,)``; float64, nats.

    unmasked
        Whether each of S sites has a term in the row, ``(R, S)``.
    log_prior
        The model's log-probability of the values; its mean over the guide's draws, where it depends
        on other latents.
    log_guide
        log q(y | x) of the guide, whether labels are given or not; NaN where it has none.
    bound, reconstruction
        Where the guide draws the values given other latents: the terms of E log p(x, y, z) -
        log q(y, z) and of E log p(x | y, z) that are of these values; else NaN.
    evaluations
        How often the decoder scored the row for all this.
    """

    unmasked: Tensor
    log_prior: Tensor
    log_guide: Tensor
    bound: Tensor
    reconstruction: Tensor
    evaluations: Tensor


class FactsOfRows:
    """What model and guide say of rows, by random numbers of ``(seed, row)`` alone.

    :param model: what is run.
    :param given: the model with its values given, which is it, or is within it.
    :param num_draws: of the other latents, where the probability of a value depends on them.
    """

    def __init__(
        self,
        model: GivenValues | IntegratedModel,
        given: GivenValues,
        guide: GivenValues,
        num_draws: int,
        seed: int,
    ) -> None:
        self.model = model
        self.given = given
        self.guide = guide
        self._num_draws = num_draws
        self._seed = seed
        self._depends: tuple[bool, bool] | None = None

    def of(self, rows: Mapping[str, Tensor]) -> RowFacts:
        """Of a batch of rows."""
        size, on_device = len(rows[TOKENS]), to_device(rows, self.model)
        model_trace, guide_trace = self._run(on_device)
        log_prior = _log_prob(self.given.nodes(model_trace)).expand(1, size)[0]
        log_guide = self._log_guide(guide_trace).expand(1, size)[0]
        unmasked = self._unmasked(model_trace, size)
        if self._depends is None:
            model_trace, guide_trace = self._run(on_device)
            again = _log_prob(self.given.nodes(model_trace)).expand(1, size)[0]
            by_guide = self._log_guide(guide_trace).expand(1, size)[0]
            self._depends = not _same(log_prior, again), not _same(log_guide, by_guide)
        missing = torch.full_like(log_prior, torch.nan)
        nothing = torch.zeros(size, dtype=torch.long)
        facts = RowFacts(unmasked, log_prior, log_guide, missing, missing, nothing)
        return self._over_draws(rows, facts) if any(self._depends) else facts

    def _run(self, rows: Mapping[str, Tensor]) -> tuple[Trace, Trace]:
        """The traces of model and guide, on rows that are on their device."""
        guide_trace = trace_guide(self.guide, **rows)
        replayed = poutine.replay(self.model, guide_trace)
        return poutine.trace(replayed).get_trace(**rows), guide_trace

    def _log_guide(self, trace: Trace, counted: Tensor | None = None) -> Tensor:
        """log q(y | x) ``(K, R)``, masks aside; NaN where a site is not in the guide.

        :param counted: the sites that are meant, ``(S,)``; all by default.
        """
        total = torch.zeros((1, 1), dtype=torch.float64)
        for place, site in enumerate(self.guide.sites):
            nodes = self.guide.nodes(trace, site)
            if not nodes:
                return torch.full_like(total, torch.nan)
            if counted is None or counted[place]:
                total = total + _log_prob([{**nodes[-1], "mask": None}])
        return total

    def _unmasked(self, trace: Trace, size: int) -> Tensor:
        counted = torch.zeros(size, len(self.given.sites), dtype=torch.bool)
        for place, site in enumerate(self.given.sites):
            for node in self.given.nodes(trace, site):
                ones = torch.ones_like(node["fn"].log_prob(node["value"]))
                counted[:, place] |= by_datum(node["name"], node, ones).squeeze(0).cpu() > 0
        return counted

    def _over_draws(self, rows: Mapping[str, Tensor], facts: RowFacts) -> RowFacts:
        """What depends on other latents, from draws of the guide for one row after the other."""
        assert self._depends is not None
        of_model, of_guide = self._depends
        if of_guide and isinstance(self.model, IntegratedModel):
            # Its bound would be of one draw of what the model sums out.
            of_guide, facts = False, replace(facts, log_guide=facts.bound)
        plates = find_plates(self.model, self.guide, (), to_device(rows, self.model))
        columns: dict[str, list[Tensor]] = {}
        for row, unmasked in zip(single_sentences(rows), facts.unmasked, strict=True):
            seed = seed_of(self._seed, sentence_key(row), "value")
            seed_generator(seed, device_of(self.model))
            with pyro.plate(PARTICLE_PLATE, self._num_draws, dim=plates.particle_dim):
                model_trace, guide_trace = self._run(to_device(row, self.model))
            log_prior = _log_prob(self.given.nodes(model_trace))
            values = {"log_prior": log_prior} if of_model else {}
            if of_guide:
                log_q = self._log_guide(guide_trace, unmasked)
                sites = [site for _, site in random_sites(model_trace)]
                text = [s for s in sites if s["is_observed"] and not s["infer"].get(SUMMED_OUT)]
                latent = [site for _, site in latent_sites(model_trace)]
                drawn = [s for _, s in latent_sites(guide_trace) + auxiliary_sites(guide_trace)]
                log_px = _log_prob(text)
                ratio = _log_prob(latent) - _log_prob(drawn)
                weight = log_q.exp()
                values |= {
                    "log_guide": weight,
                    "bound": weight * (log_px + log_prior + ratio - log_q),
                    "reconstruction": weight * log_px,
                }
            for name, value in values.items():
                columns.setdefault(name, []).append(value.mean(0))
        means = {name: torch.cat(column) for name, column in columns.items()}
        if of_guide:
            means["log_guide"] = means["log_guide"].log()
            means["evaluations"] = torch.full_like(facts.evaluations, self._num_draws)
        return replace(facts, **means)


def _log_prob(nodes: Sequence[Any]) -> Tensor:
    """The log-density of some sites together, ``(K, R)``; ``(1, 1)`` of none."""
    total = torch.zeros((1, 1), dtype=torch.float64)
    for node in nodes:
        log_prob = node["fn"].log_prob(node["value"]).double()
        total = total + by_datum(node["name"], node, log_prob).cpu()
    return total


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-6, atol=1e-8, equal_nan=True)
