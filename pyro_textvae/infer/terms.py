# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The terms of a bound, sentence by sentence, from the traces of a model and a guide."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from pyro.distributions import Delta
from pyro.poutine import Trace
from torch import Tensor

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.infer.closed_forms import closed_forms
from pyro_textvae.infer.enumeration.enumeration import Enumeration
from pyro_textvae.infer.global_latents import is_global
from pyro_textvae.infer.global_sites import GlobalSite, read_global_sites
from pyro_textvae.infer.latent_site import LatentSite, by_datum
from pyro_textvae.infer.plates import frames_in_data
from pyro_textvae.infer.sites import auxiliary_sites, random_sites


@dataclass(frozen=True)
class PerDatumTerms:
    """What one pass of guide and model says about each sentence; nats, shapes ``(K, N)``.

    log_likelihood
        log p(x | z_k), summed over the observed sites.
    observed
        That of each observed site, by name.
    log_ratio
        log q(z_k | x) - log p(z_k) of each latent site at its draw.
    kl
        KL(q(z | x), p(z)) of each latent site: the closed form where one is registered with
        PyTorch and the guide draws all the latents that come before the site in the model before
        it too, as the closed form needs; otherwise ``log_ratio``.
    scale
        What the programs' plates and ``poutine.scale`` multiply every sentence by. It is in none
        of the other fields: it belongs outside of any logarithm of a mean.
    passes
        The latent sites of each pass, in the guide's order: one pass where particles are
        vectorised, K in a loop.
    closed_form
        The sites whose ``kl`` is the closed form.
    global_sites
        The global latents, of which all particles of a batch share one draw; all else is given it.
    corpus_size
        The size of the plate ``"data"`` where the programs take a part of it alone.
    enumerated
        The sums of each pass over the sites that the guide enumerates; empty where it does not.
        Then ``log_likelihood``, ``log_ratio`` and ``kl`` are means over their values y under
        q(y | x), and ``log_weights`` is a sum over them.
    """

    log_likelihood: Tensor
    log_ratio: dict[str, Tensor]
    kl: dict[str, Tensor]
    scale: Tensor | float
    passes: tuple[tuple[LatentSite, ...], ...] = ()
    closed_form: frozenset[str] = field(default_factory=frozenset)
    global_sites: tuple[GlobalSite, ...] = ()
    corpus_size: int | None = None
    observed: dict[str, Tensor] = field(default_factory=dict)
    enumerated: tuple[Enumeration, ...] = ()

    @cached_property
    def global_kl(self) -> Tensor:
        """KL(q, p) of all global latents together, no dimension; nats of the whole corpus."""
        return sum((site.kl for site in self.global_sites), self.log_likelihood.new_zeros(()))

    @cached_property
    def log_weights(self) -> Tensor:
        """log p(x, z_k) - log q(z_k | x), ``(K, N)``.

        With sites that the guide enumerates, log sum_y p(x, y, z_ky) / q(z_ky | x, y).
        """
        if self.enumerated:
            return torch.cat([sums.log_weights() for sums in self.enumerated])
        return self.mean_log_weights

    @cached_property
    def mean_log_weights(self) -> Tensor:
        """The same, and with enumerated sites its mean under q(y | x), q(y | x) in the weight."""
        return self.log_likelihood - sum(self.log_ratio.values())

    @cached_property
    def log_joint(self) -> Tensor:
        """log p(x, z_k), ``(K, N)``.

        With sites that the guide enumerates it is ``log_weights``, with the gradient of the model
        alone.
        """
        if self.enumerated:
            return torch.cat([sums.for_model() for sums in self.enumerated])
        return self.log_likelihood + self._over_sites("log_prior")

    @cached_property
    def log_guide(self) -> Tensor:
        """log q(z_k | x), ``(K, N)``.

        With sites that the guide enumerates it is ``log_weights``, with the gradient of the draws'
        log q alone, weighed by the shares of their values y in ``log_weights``.
        """
        if self.enumerated:
            return torch.cat([sums.for_guide(choices=False) for sums in self.enumerated])
        return torch.zeros_like(self.log_likelihood) + self._over_sites("log_posterior")

    @cached_property
    def log_guide_with_choices(self) -> Tensor:
        """``log_guide``, with log q(y | x) of the enumerated sites in it too, ``(K, N)``."""
        if self.enumerated:
            return torch.cat([sums.for_guide(choices=True) for sums in self.enumerated])
        return self.log_guide

    @cached_property
    def total_kl(self) -> Tensor:
        """``kl`` summed over sites, ``(K, N)``."""
        return torch.zeros_like(self.log_likelihood) + sum(self.kl.values())

    def detached(self) -> PerDatumTerms:
        """The numbers alone, without gradients and distributions."""
        return replace(
            self,
            log_likelihood=self.log_likelihood.detach(),
            log_ratio={name: value.detach() for name, value in self.log_ratio.items()},
            kl={name: value.detach() for name, value in self.kl.items()},
            observed={name: value.detach() for name, value in self.observed.items()},
            passes=(),
            global_sites=tuple(replace(s, kl=s.kl.detach()) for s in self.global_sites),
            enumerated=tuple(sums.detached() for sums in self.enumerated),
        )

    def _over_sites(self, name: str) -> Tensor:
        rows = [
            sum((getattr(site, name) for site in sites), self.log_likelihood.new_zeros(1, 1))
            for sites in self.passes
        ]
        return torch.cat([row.expand(-1, self.log_likelihood.shape[1]) for row in rows])


def read_terms(model_trace: Trace, guide_trace: Trace, draws: dict[str, Tensor]) -> PerDatumTerms:
    """Sort the log-probabilities of a pair of traces by sentence.

    :param draws: the guide's own draw of each latent site.
    :raises ValueError: with the site's name, for an observed site outside the plate ``"data"``, and
        for sites of unequal scale.
    """
    auxiliary = auxiliary_sites(guide_trace)
    scale: Tensor | float | None = None
    full_size = size = 1
    of_corpus: dict[str, tuple[Any, Any]] = {}
    log_likelihood: Tensor | float = 0.0
    observed: dict[str, Tensor] = {}
    sites: dict[str, LatentSite] = {}
    guide_sites = dict(random_sites(guide_trace))
    for name, site in random_sites(model_trace):
        if is_global(site):
            of_corpus[name] = site, guide_sites[name]
            continue
        scale = common_scale(name, site, scale)
        frame = frames_in_data(name, site)[DATA_PLATE]
        full_size, size = frame.full_size, frame.size
        log_prob = by_datum(name, site, site["unscaled_log_prob"])
        if site["is_observed"]:
            log_likelihood = log_likelihood + log_prob
            observed[name] = log_prob
            continue
        posterior = guide_sites[name]
        common_scale(name, posterior, scale)
        sites[name] = LatentSite(
            name=name,
            prior=site["fn"],
            posterior=posterior["fn"],
            draw=draws[name],
            seen_by_model=site["value"],
            log_prior=log_prob,
            log_posterior=by_datum(name, posterior, posterior["unscaled_log_prob"]),
            node=posterior,
            is_image=bool(auxiliary) and isinstance(posterior["fn"], Delta),
        )
    for name, site in auxiliary:
        common_scale(name, site, scale)
        log_prob = by_datum(name, site, site["unscaled_log_prob"])
        sites[name] = LatentSite(
            name=name,
            prior=None,
            posterior=site["fn"],
            draw=draws[name],
            seen_by_model=draws[name].view_as(draws[name]),
            log_prior=torch.zeros_like(log_prob),
            log_posterior=log_prob,
            node=site,
        )
    log_ratio = {name: site.log_posterior - site.log_prior for name, site in sites.items()}
    in_order_of_guide = tuple(sites[name] for name in guide_sites if name in sites)
    for name, pair in of_corpus.items():
        for site in pair:
            # The plate has scaled what is inside it, and these are not.
            common_scale(name, {**site, "scale": site["scale"] * (full_size / size)}, scale)
    closed = closed_forms(model_trace, guide_trace)
    closed_form = {n: by_datum(n, guide_sites[n], kl) for n, kl in closed.items() if n in sites}
    shape = torch.broadcast_shapes(
        *(value.shape for value in (*log_ratio.values(), torch.as_tensor(log_likelihood)))
    )
    return PerDatumTerms(
        log_likelihood=torch.as_tensor(log_likelihood).expand(shape),
        log_ratio={name: value.expand(shape) for name, value in log_ratio.items()},
        kl={name: value.expand(shape) for name, value in (log_ratio | closed_form).items()},
        scale=1.0 if scale is None else scale,
        passes=(in_order_of_guide,),
        closed_form=frozenset(closed_form),
        global_sites=read_global_sites(of_corpus, closed),
        corpus_size=full_size if size != full_size else None,
        observed={name: value.expand(shape) for name, value in observed.items()},
    )


def join_terms(parts: list[PerDatumTerms]) -> PerDatumTerms:
    """The terms of K passes of one particle each as those of one pass of K."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return PerDatumTerms(
        log_likelihood=torch.cat([part.log_likelihood for part in parts]),
        log_ratio={n: torch.cat([part.log_ratio[n] for part in parts]) for n in first.log_ratio},
        kl={name: torch.cat([part.kl[name] for part in parts]) for name in first.kl},
        scale=first.scale,
        passes=tuple(sites for part in parts for sites in part.passes),
        closed_form=first.closed_form,
        global_sites=first.global_sites,
        corpus_size=first.corpus_size,
        observed={n: torch.cat([part.observed[n] for part in parts]) for n in first.observed},
        enumerated=tuple(sums for part in parts for sums in part.enumerated),
    )


def closed_form_kl(model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
    """KL(q(z | x), p(z)) of the latent sites that have a closed form, ``(K, N)`` or ``(1, N)``.

    Which have one says :func:`~pyro_textvae.infer.closed_forms.closed_forms`.
    """
    sites = dict(random_sites(guide_trace))
    return {
        name: by_datum(name, sites[name], kl)
        for name, kl in closed_forms(model_trace, guide_trace).items()
        if not is_global(sites[name])
    }


def common_scale(name: str, site: Any, scale: Tensor | float | None) -> Tensor | float:
    """The scale of a site, which must be that of those before it.

    :raises ValueError: with the site's name, where it is not.
    """
    of_site = torch.as_tensor(site["scale"])
    if scale is not None and not torch.equal(of_site, torch.as_tensor(scale)):
        raise ValueError(
            f"sample site {name!r} is scaled by {site['scale']} and another by {scale}: give KL "
            "weights to the objective, not to the model or guide"
        )
    return site["scale"]
