# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the guide says of the latents of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import Independent

from pyro_textvae.contract import PARTICLE_PLATE
from pyro_textvae.distributions.point_mass import is_point_mass
from pyro_textvae.evaluation.families import Family, GaussianFamily, SphericalFamily
from pyro_textvae.evaluation.sentences import seed_of, sentence_key, single_sentences
from pyro_textvae.infer.running import to_device
from pyro_textvae.infer.sites import latent_sites, random_sites
from pyro_textvae.infer.supports import share_support, support_of
from pyro_textvae.infer.terms import by_datum, closed_form_kl

FAMILIES: tuple[type[Family], ...] = (GaussianFamily, SphericalFamily)


class Posteriors:
    """q(z | x) for every sentence of a batch, and random numbers by ``(seed, sentence)`` alone.

    The encoder is run once for all the draws of a sentence where there is one latent site of a
    known family; for any other guide once for each block of draws, sentence by sentence.

    :raises ValueError: when model and guide do not have the same latent sites, or one draws where
        the other has no density.
    """

    def __init__(
        self, model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], seed: int
    ) -> None:
        self.seed = seed
        self._guide = guide
        self._sentences = single_sentences(batch)
        self.keys = [sentence_key(sentence) for sentence in self._sentences]
        batch = to_device(batch, model)
        torch.manual_seed(seed)
        guide_trace = poutine.trace(guide).get_trace(**batch)
        model_trace = poutine.trace(poutine.replay(model, guide_trace)).get_trace(**batch)
        self.names = [name for name, _ in latent_sites(guide_trace)]
        _check_same_sites(self.names, [name for name, _ in latent_sites(model_trace)])
        closed_form = closed_form_kl(model_trace, guide_trace)
        self.kl: Tensor | None = None
        """KL(q(z | x), p(z)) of each sentence ``(N,)``, where one site has a closed form."""
        # With several sites, that of one may depend on the draw of another.
        if len(self.names) == 1 and self.site in closed_form:
            kl = closed_form[self.site].squeeze(0).double()
            self.kl = kl.expand(len(self.keys)).cpu()
        self.distributions = {
            name: (site["fn"], dict(random_sites(model_trace))[name]["fn"])
            for name, site in latent_sites(guide_trace)
        }
        """Posterior and prior of each latent site, of ``batch_shape`` ``(N,)``."""
        _check_same_supports(self.distributions)
        self.family = self._find_family(dict(random_sites(guide_trace)))

    @property
    def site(self) -> str:
        """The name of the one latent site."""
        (name,) = self.names
        return name

    def seeds(self, *purpose: int | str) -> list[int]:
        """A seed for each sentence, for one purpose."""
        return [seed_of(self.seed, key, *purpose) for key in self.keys]

    def sample(self, count: int, block: int) -> tuple[dict[str, Tensor], Tensor]:
        """Draws by running the guide: latents ``(count, N, *event)``, log q(z | x) ``(count, N)``.

        Works for any guide that keeps the contract.
        """
        rows, log_probs = [], []
        seeds = self.seeds("guide", block)
        for sentence, seed in zip(self._sentences, seeds, strict=True):
            torch.manual_seed(seed)
            with pyro.plate(PARTICLE_PLATE, count, dim=-2):
                trace = poutine.trace(self._guide).get_trace(**to_device(sentence, self._guide))
            trace.compute_log_prob()
            sites = latent_sites(trace)
            rows.append({name: site["value"] for name, site in sites})
            log_prob = sum(by_datum(name, site, site["unscaled_log_prob"]) for name, site in sites)
            log_probs.append(torch.as_tensor(log_prob).expand(count, 1))
        latents = {name: torch.cat([row[name] for row in rows], 1) for name in rows[0]}
        return latents, torch.cat(log_probs, 1)

    def rows(self, chosen: Tensor) -> Posteriors:
        """Those of some of the sentences, to draw from."""
        part = copy(self)
        part._sentences = [self._sentences[row] for row in chosen.tolist()]
        part.keys = [self.keys[row] for row in chosen.tolist()]
        return part

    @property
    def points(self) -> list[str]:
        """The latent sites whose posteriors are points: no draw of theirs can be weighted."""
        return [n for n, (posterior, _) in self.distributions.items() if is_point_mass(posterior)]

    def describe(self) -> str:
        """The kind of posterior, in words."""
        if len(self.names) != 1:
            return f"{len(self.names)} latent sites ({', '.join(self.names)})"
        kind = self.distributions[self.site][0]
        while isinstance(kind, Independent):
            kind = kind.base_dist
        return f"a posterior of the kind {type(kind).__name__} at {self.site!r}"

    def _find_family(self, sites: Mapping[str, Any]) -> Family | None:
        if len(self.names) != 1 or sites[self.site]["mask"] is not None:
            return None
        posterior = sites[self.site]["fn"]
        found = (family.of(posterior) for family in FAMILIES)
        return next((family for family in found if family is not None), None)


def _check_same_sites(of_guide: list[str], of_model: list[str]) -> None:
    for name in of_guide:
        if name not in of_model:
            raise ValueError(
                f"the guide's latent site {name!r} is not a latent of the model (it has "
                f"{', '.join(of_model) or 'none'}): give both sites one name"
            )
    for name in of_model:
        if name not in of_guide:
            raise ValueError(
                f"latent site {name!r} of the model is not drawn by the guide (it draws "
                f"{', '.join(of_guide) or 'none'}): give the guide a sample site of that name"
            )


def _check_same_supports(distributions: Mapping[str, tuple[Any, Any]]) -> None:
    for name, (posterior, prior) in distributions.items():
        if not share_support(posterior, prior):
            raise ValueError(
                f"latent site {name!r} has support {support_of(prior)} in the model and "
                f"{support_of(posterior)} in the guide, so one draws where the other has no "
                "density: train a prior and a guide of one support"
            )
