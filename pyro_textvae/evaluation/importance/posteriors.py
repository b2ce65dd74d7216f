# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the guide says of the latents of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor, nn
from torch.distributions import (
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from pyro_textvae.contract import PARTICLE_PLATE, TOKENS
from pyro_textvae.distributions.point_mass import is_point_mass
from pyro_textvae.evaluation.enumeration.integrated_model import IntegratedModel
from pyro_textvae.evaluation.families import Family, GaussianFamily, SphericalFamily
from pyro_textvae.evaluation.importance.latent_vector import LatentVector
from pyro_textvae.evaluation.importance.target import Latents
from pyro_textvae.evaluation.sentences import seed_of, sentence_key, single_sentences
from pyro_textvae.infer.auxiliary_sites import at_latents, trace_guide
from pyro_textvae.infer.plates import Plates, SitePlates
from pyro_textvae.infer.running import device_of, seed_generator, to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import (
    auxiliary_sites,
    check_same_latents,
    latent_sites,
    observed_beside_text,
    random_sites,
)
from pyro_textvae.infer.supports import share_support, support_of
from pyro_textvae.infer.terms import by_datum, closed_form_kl
from pyro_textvae.nn.frozen import frozen

_DRAWS_AT_ONCE = 4096

FAMILIES: tuple[type[Family], ...] = (GaussianFamily, SphericalFamily)


class GuideDraws:
    """Draws from a guide for some sentences, by random numbers of ``(seed, sentence)`` alone.

    What can be drawn, and nothing else: what a guide says of a sentence is in :class:`Posteriors`.

    :param batch: all sentences together, on the device of the guide.
    :param sentences: each of them alone.
    :param plates: where the plates of the programs stand.
    :param trace: of the guide, in the batch that the sentences are of.
    :param vector: the latents of a sentence as one vector, where none is in a plate inside
        ``"data"``.
    """

    def __init__(
        self,
        guide: nn.Module,
        batch: Mapping[str, Tensor],
        sentences: Sequence[Mapping[str, Tensor]],
        keys: Sequence[int],
        seed: int,
        plates: Plates,
        trace: Trace,
        vector: LatentVector,
    ) -> None:
        self.keys = list(keys)
        self.seed = seed
        self.inner_sizes = {name: _inner_sizes(name, site) for name, site in latent_sites(trace)}
        """The latent sites of the guide, and of each the sizes of the plates inside ``"data"``."""
        self.names = list(self.inner_sizes)
        self.plates = plates
        self.trace = trace
        self.vector = vector
        self.sentences = list(sentences)
        self._batch = batch
        self.guide = guide

    @property
    def site(self) -> str:
        """The name of the one latent site."""
        (name,) = self.names
        return name

    def seeds(self, *purpose: int | str) -> list[int]:
        """A seed for each sentence, for one purpose."""
        return [seed_of(self.seed, key, *purpose) for key in self.keys]

    def sample(self, count: int, block: int) -> tuple[dict[str, Tensor], Tensor]:
        """Latents ``(count, N, *inner, *event)`` and log q(z | x) ``(count, N)``, from the guide.

        The guide is run once for each sentence, so this works for any that keeps the contract. A
        sentence with fewer turns, say, than others has its last one again in their places: there
        the model must not look, as padding says nothing.
        """
        return self.run(count, self.seeds("guide", block))

    def run(self, count: int, seeds: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """The same by a seed for each sentence."""
        rows, log_probs = [], []
        device = device_of(self.guide)
        for sentence, seed in zip(self.sentences, seeds, strict=True):
            seed_generator(seed, device)
            fields = fields_of(self.guide, to_device(sentence, self.guide))
            with pyro.plate(PARTICLE_PLATE, count, dim=self.plates.particle_dim):
                trace = trace_guide(self.guide, **fields)
            trace.compute_log_prob()
            sites = latent_sites(trace)
            self._check_names([name for name, _ in sites])
            rows.append({n: self.plates.datum_first(n, site["value"]) for n, site in sites})
            log_prob = sum(
                by_datum(name, site, site["unscaled_log_prob"])
                for name, site in sites + auxiliary_sites(trace)
            )
            log_probs.append(torch.as_tensor(log_prob).expand(count, 1))
        return self.joined(rows), torch.cat(log_probs, 1)

    def log_prob(self, latents: Latents) -> Tensor:
        """log q(z | x) ``(K, N)`` of any latents, with gradients to them where they are asked for.

        The guide is run with its latents fixed, draws and sentences together.

        :raises NotImplementedError: or ``KeyError``, for a guide with a flow that has no inverse,
            or with latents that are made of an auxiliary site.
        """
        fields = fields_of(self.guide, self._batch)
        parts = []
        size = max(1, _DRAWS_AT_ONCE // len(self.sentences))
        for start in range(0, len(next(iter(latents.values()))), size):
            part = {name: value[start : start + size] for name, value in latents.items()}
            values = {name: self.plates.as_in_program(name, value) for name, value in part.items()}
            program = poutine.condition(self.guide, data=at_latents(self.trace, values))
            count = len(next(iter(part.values())))
            with (
                frozen(self.guide.parameters()),
                pyro.plate(PARTICLE_PLATE, count, dim=self.plates.particle_dim),
            ):
                trace = trace_guide(program, **fields)
                trace.compute_log_prob()
            log_prob = sum(
                by_datum(name, site, site["unscaled_log_prob"])
                for name, site in random_sites(trace)
                if name in latents
            )
            parts.append(torch.as_tensor(log_prob).expand(count, len(self.sentences)))
        return torch.cat(parts)

    def joined(self, rows: Sequence[Latents]) -> dict[str, Tensor]:
        """Latents of each sentence alone, ``(K, 1, *inner, *event)``, as those of all."""
        return {n: _cat([row[n] for row in rows], self.inner_sizes[n]) for n in rows[0]}

    def rows(self, chosen: Tensor) -> GuideDraws:
        """Those of some of the sentences."""
        places = chosen.tolist()
        return GuideDraws(
            self.guide,
            {name: value[chosen] for name, value in self._batch.items()},
            [self.sentences[row] for row in places],
            [self.keys[row] for row in places],
            self.seed,
            self.plates,
            self.trace,
            self.vector,
        )

    def _check_names(self, alone: Sequence[str]) -> None:
        """Refuse a sentence that alone has other latents than in its batch."""
        if set(alone) != set(self.names):
            raise ValueError(
                f"the latent sites of a sentence alone are {', '.join(alone) or 'none'}, and of "
                f"its batch {', '.join(self.names)}: their number must not depend on the width of "
                'a batch; draw them at one site, in a plate inside "data" with a mask, or as one '
                "latent for the whole sentence"
            )


class Posteriors(GuideDraws):
    """q(z | x) for every sentence of a batch, and random numbers by ``(seed, sentence)`` alone.

    The encoder is run once for all the draws of a sentence where there is one latent site of a
    known family; for any other guide once for each block of draws, sentence by sentence.

    :raises ValueError: when model and guide do not have the same latent sites, one draws where the
        other has no density, or a latent is outside the plate ``"data"``.
    """

    def __init__(
        self, model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], seed: int
    ) -> None:
        sentences = single_sentences(batch)
        batch = to_device(batch, model)
        torch.manual_seed(seed)
        guide_trace = trace_guide(guide, **fields_of(guide, batch))
        replayed = poutine.replay(model, guide_trace)
        model_trace = poutine.trace(replayed).get_trace(**fields_of(model, batch))
        check_same_latents(model_trace, guide_trace)
        self.model = model
        self.order = [(name, site["is_observed"]) for name, site in random_sites(model_trace)]
        """The sites of the model in its order, and which of them are observed."""
        self.beside_text = observed_beside_text(model_trace, batch[TOKENS])
        """The observed sites of the model that are not the text: their densities count too."""
        super().__init__(
            guide,
            batch,
            sentences,
            [sentence_key(sentence) for sentence in sentences],
            seed,
            Plates.of(model_trace, guide_trace),
            guide_trace,
            LatentVector({n: site["fn"].event_shape for n, site in latent_sites(guide_trace)}),
        )
        # The prior of one draw of what the model sums out is not the prior.
        is_mixture = isinstance(model, IntegratedModel)
        closed_form = {} if is_mixture else closed_form_kl(model_trace, guide_trace)
        self.kl: Tensor | None = None
        """KL(q(z | x), p(z)) of each sentence ``(N,)``, where one site has a closed form."""
        # With several sites, that of one may depend on the draw of another.
        if len(self.names) == 1 and self.site in closed_form:
            kl = closed_form[self.site].squeeze(0).double()
            self.kl = kl.expand(len(self.keys)).cpu()
        self.is_masked = any(
            isinstance(site["mask"], Tensor) or site["mask"] is False
            for trace in (model_trace, guide_trace)
            for _, site in latent_sites(trace)
        )
        """Whether a latent of some sentences may count for nothing."""
        self.distributions = {
            name: (
                site["fn"] if self.inner_sizes[name] else _by_sentence(site["fn"], len(sentences)),
                dict(random_sites(model_trace))[name]["fn"],
            )
            for name, site in latent_sites(guide_trace)
        }
        """Posterior and prior of each latent site, of ``batch_shape`` ``(N,)`` where there is no
        plate but ``"data"``."""
        _check_same_supports(self.distributions)
        self.family = self._find_family(dict(random_sites(guide_trace)))

    @property
    def points(self) -> list[str]:
        """The latent sites whose posteriors are points: no draw of theirs can be weighted."""
        if auxiliary_sites(self.trace):
            return []
        return [n for n, (posterior, _) in self.distributions.items() if is_point_mass(posterior)]

    def describe(self) -> str:
        """The kind of posterior, in words."""
        if len(self.names) != 1:
            return f"{len(self.names)} latent sites ({', '.join(self.names)})"
        posterior = kind = self.distributions[self.site][0]
        while isinstance(kind, Independent):
            kind = kind.base_dist
        plates = self.plates.sites[self.site]
        shape = tuple(posterior.event_shape)
        of_shape = "" if len(shape) == 1 else f", of event shape {shape}"
        inside = ", in a plate inside 'data'" if plates.inner else ""
        return f"a posterior of the kind {type(kind).__name__} at {self.site!r}{of_shape}{inside}"

    def _find_family(self, sites: Mapping[str, Any]) -> Family | None:
        if len(self.names) != 1 or sites[self.site]["mask"] is not None:
            return None
        posterior, _ = self.distributions[self.site]
        if len(posterior.batch_shape) != 1:
            return None
        families = (family.of(posterior) for family in FAMILIES)
        return next((family for family in families if family is not None), None)


def _by_sentence(fn: Any, size: int) -> Any:
    """A posterior whose batch shape has a 1 for a plate that its site is not in, without that 1.

    Gaussians and distributions around a mean direction alone; others stay as they are.
    """
    shape = fn.batch_shape
    if len(shape) == 1 or shape.numel() != size:
        return fn

    def flat(parameter: Tensor) -> Tensor:
        return parameter.expand(shape + parameter.shape[len(shape) :]).flatten(0, len(shape) - 1)

    if isinstance(fn, MultivariateNormal | LowRankMultivariateNormal):
        return MultivariateNormal(flat(fn.loc), scale_tril=flat(fn.scale_tril))
    if isinstance(fn, Independent) and isinstance(fn.base_dist, Normal):
        base = Normal(flat(fn.base_dist.loc), flat(fn.base_dist.scale))
        return Independent(base, fn.reinterpreted_batch_ndims)
    if hasattr(fn, "loc") and hasattr(fn, "concentration"):
        return type(fn)(flat(fn.loc), flat(fn.concentration))
    return fn


def _inner_sizes(name: str, site: Any) -> tuple[int, ...]:
    plates = SitePlates.of(name, site)
    return tuple(site["fn"].batch_shape[dim] for dim in plates.inner)


def _cat(rows: list[Tensor], sizes: Sequence[int]) -> Tensor:
    """``(K, 1, *inner, *event)`` of each sentence as ``(K, N, *sizes, *event)``."""
    for dim, size in enumerate(sizes, start=2):
        places = [torch.arange(size).clamp(max=row.shape[dim] - 1) for row in rows]
        rows = [
            row if row.shape[dim] == size else row.index_select(dim, place.to(row.device))
            for row, place in zip(rows, places, strict=True)
        ]
    return torch.cat(rows, 1)


def _check_same_supports(distributions: Mapping[str, tuple[Any, Any]]) -> None:
    for name, (posterior, prior) in distributions.items():
        if not share_support(posterior, prior):
            raise ValueError(
                f"latent site {name!r} has support {support_of(prior)} in the model and "
                f"{support_of(posterior)} in the guide, so one draws where the other has no "
                "density: train a prior and a guide of one support"
            )
