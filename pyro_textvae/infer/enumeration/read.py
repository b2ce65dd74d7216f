# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The terms of a bound from the traces of a pair with enumerated sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions import Delta
from pyro.poutine import Trace
from torch import Tensor

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.infer.closed_forms import closed_forms
from pyro_textvae.infer.enumeration.dims import (
    dims_of,
    is_enumerated,
    plates_of,
    shape_of,
    sites_by_id,
    values_of,
)
from pyro_textvae.infer.enumeration.enumeration import Enumeration
from pyro_textvae.infer.enumeration.factor import Factor, PlateDim
from pyro_textvae.infer.enumeration.integrated import integrated
from pyro_textvae.infer.global_latents import is_global
from pyro_textvae.infer.global_sites import read_global_sites
from pyro_textvae.infer.latent_site import LatentSite
from pyro_textvae.infer.plates import frames_in_data
from pyro_textvae.infer.sites import auxiliary_sites, random_sites
from pyro_textvae.infer.terms import PerDatumTerms, common_scale


def read_enumerated_terms(
    model_trace: Trace, guide_trace: Trace, draws: dict[str, Tensor]
) -> PerDatumTerms:
    """Sort the log-probabilities of a pair of traces with enumerated sites by sentence.

    A site that the model alone enumerates is summed out: each other site has its density given
    those before it in the model, with that one integrated out. Over sites that the guide enumerates
    the mean under q(y | x) is taken, in all terms but ``log_weights``.

    :param draws: the guide's own draw of each latent site.
    :raises ValueError: with the site's name, as
        :func:`~pyro_textvae.infer.terms.read_terms`, and for a sum that would have a term for every
        combination of the places of a plate.
    """
    of_model, of_guide = dict(random_sites(model_trace)), dict(random_sites(guide_trace))
    auxiliary = dict(auxiliary_sites(guide_trace))
    of_corpus = {n: (site, of_guide[n]) for n, site in of_model.items() if is_global(site)}
    of_sentence = {n: site for n, site in of_model.items() if n not in of_corpus}
    latent = [n for n, site in of_sentence.items() if not site["is_observed"] and n in of_guide]
    ids = sites_by_id(model_trace, guide_trace)
    terms: dict[str, Factor] = {}
    summed: dict[str, frozenset[PlateDim]] = {}
    choices: dict[str, Factor] = {}
    densities: dict[str, Factor] = {}
    for name, site in of_sentence.items():
        log_prob, dims, mask = site["unscaled_log_prob"], dims_of(ids, site), site["mask"]
        if not site["is_observed"] and name not in of_guide:
            # All its values together have a probability of 1, masked or not.
            mask, summed[name] = None, plates_of(name, site)
        elif name in latent and is_enumerated(of_guide[name]):
            choices[name], log_prob = _choice(name, site, of_guide[name], ids)
            mask = None
        terms[name] = Factor.of(name, site, log_prob, dims, mask)
    for name in [*latent, *auxiliary]:
        if name not in choices:
            site = of_guide[name]
            log_prob, dims = site["unscaled_log_prob"], dims_of(ids, site)
            densities[name] = Factor.of(name, site, log_prob, dims, site["mask"])
    conditional, joint, coupled = integrated(
        terms, summed, {name: choice.plates for name, choice in choices.items()}
    )
    values = {name: values_of(of_guide[name]) for name in choices}
    shape = shape_of([*terms.values(), *densities.values()])
    sums = Enumeration(choices, densities, joint, values, shape)
    sites = {}
    for name, site in of_guide.items():
        if name not in choices and name not in densities:
            continue
        seen = of_model[name] if name in latent else None
        log_posterior = sums.expectation([choices.get(name) or densities[name]])
        log_prior = sums.expectation(conditional[name] if seen else [])
        sites[name] = LatentSite(
            name=name,
            prior=seen["fn"] if seen else None,
            posterior=site["fn"],
            draw=draws[name],
            seen_by_model=seen["value"] if seen else draws[name].view_as(draws[name]),
            log_prior=log_prior,
            log_posterior=log_posterior,
            node=site,
            is_image=bool(auxiliary) and isinstance(site["fn"], Delta),
            sums=sums,
            dims=dims_of(ids, site, *([seen] if seen else [])),
        )
    log_ratio = {name: site.log_posterior - site.log_prior for name, site in sites.items()}
    closed = closed_forms(model_trace, guide_trace)
    closed_form = {
        name: sums.expectation([sites[name].factor(closed[name])])
        for name in latent
        if name in closed and name not in choices and name not in coupled
    }
    observed = {
        name: sums.expectation(conditional[name])
        for name, site in of_sentence.items()
        if site["is_observed"]
    }
    scale, full_size, size = _check_scales(of_sentence, of_guide, of_corpus, auxiliary)
    return PerDatumTerms(
        log_likelihood=sum(observed.values(), sums.expectation([])),
        log_ratio=log_ratio,
        kl=log_ratio | closed_form,
        scale=scale,
        passes=(tuple(sites.values()),),
        closed_form=frozenset([*closed_form, *choices]),
        global_sites=read_global_sites(of_corpus, closed),
        corpus_size=full_size if size != full_size else None,
        observed=observed,
        enumerated=(sums,) if choices else (),
    )


def _choice(name: str, prior: Any, posterior: Any, ids: Mapping[int, str]) -> tuple[Factor, Tensor]:
    """log q of the values of a site that the guide enumerates, and log p with its mask in it.

    Where the site is masked it has no density, and its values no effect: they are weighed as the
    guide would draw them, and the guide learns nothing from that.
    """
    log_q, log_p = posterior["unscaled_log_prob"], prior["unscaled_log_prob"]
    fixed = log_q.detach()
    log_q = _where(posterior["mask"], log_q, fixed)
    log_p = _where(prior["mask"], log_p, fixed)
    return Factor.of(name, posterior, log_q, dims_of(ids, posterior)), log_p


def _where(mask: Any, value: Tensor, otherwise: Tensor) -> Tensor:
    if mask is None or mask is True:
        return value
    return torch.where(torch.as_tensor(mask, device=value.device), value, otherwise)


def _check_scales(
    of_sentence: Mapping[str, Any],
    of_guide: Mapping[str, Any],
    of_corpus: Mapping[str, tuple[Any, Any]],
    auxiliary: Mapping[str, Any],
) -> tuple[Tensor | float, int, int]:
    """The scale of all sites, and the whole size and the size of the plate ``"data"``."""
    scale: Tensor | float | None = None
    for name, site in of_sentence.items():
        scale = common_scale(name, site, scale)
        if name in of_guide:
            common_scale(name, of_guide[name], scale)
        frame: Any = frames_in_data(name, site)[DATA_PLATE]
    for name, site in auxiliary.items():
        common_scale(name, site, scale)
    for name, pair in of_corpus.items():
        for site in pair:
            # The plate has scaled what is inside it, and these are not.
            share = frame.full_size / frame.size
            common_scale(name, {**site, "scale": site["scale"] * share}, scale)
    return 1.0 if scale is None else scale, frame.full_size, frame.size
