# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sites of a trace that carry probability."""

from __future__ import annotations

import difflib
from typing import Any

from pyro.distributions import Delta, Unit
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from pyro_textvae.contract import OF_TEXT, TEXT_SITE

SUMMED_OUT = "_summed_out"
"""The key in ``infer`` of a site that is observed at each of its values in turn."""


def random_sites(trace: Trace) -> list[tuple[str, Any]]:
    """Names and sites, in order; without subsampling and ``pyro.deterministic``."""
    nodes: Any = trace.nodes
    return [
        (name, site)
        for name, site in nodes.items()
        if site["type"] == "sample"
        and not site_is_subsample(site)
        and not site["infer"].get("_deterministic")
    ]


def text_sites(trace: Trace) -> list[str]:
    """Names of the sites that the text is drawn at; none where no site is named ``"x"``.

    A program that draws its text word by word puts the words together by
    ``pyro.deterministic("x", ...)``: then they are the sites whose names begin with ``"x_"``.

    >>> import pyro
    >>> import torch
    >>> from pyro import poutine
    >>> from pyro.distributions import Categorical
    >>> def program():
    ...     words = [pyro.sample(f"x_{t}", Categorical(torch.ones(9))) for t in range(2)]
    ...     return pyro.deterministic("x", torch.stack(words, -1))
    >>> text_sites(poutine.trace(program).get_trace())
    ['x_0', 'x_1']
    """
    names = [name for name, _ in random_sites(trace)]
    if TEXT_SITE in names:
        return [TEXT_SITE]
    words = [name for name in names if name.startswith(f"{TEXT_SITE}_")]
    return words if TEXT_SITE in trace.nodes else []


def observed_beside_text(trace: Trace, tokens: Tensor) -> list[str]:
    """Names of the observed sites that are not the text: labels, factors.

    One that is summed out is observed for the sum alone, and is not among them; nor is one that the
    program marks as of the text, ``infer={"of_text": True}``.

    :param tokens: the text, by which its site is known where none is named ``"x"``.
    """
    observed = [
        (name, site)
        for name, site in random_sites(trace)
        if site["is_observed"]
        and not site["infer"].get(SUMMED_OUT)
        and not site["infer"].get(OF_TEXT)
    ]
    names = [name for name, _ in observed]
    if of_text := text_sites(trace):
        return [name for name in names if name not in of_text]
    return [name for name, site in observed if site["value"] is not tokens] if names[1:] else []


def latent_sites(trace: Trace) -> list[tuple[str, Any]]:
    """Those of them that are neither observed nor auxiliary."""
    return [(name, site) for name, site in _unobserved(trace) if not _is_auxiliary(site)]


def auxiliary_sites(trace: Trace) -> list[tuple[str, Any]]:
    """Those that a guide has marked ``is_auxiliary``: latents are made of them."""
    return [(name, site) for name, site in _unobserved(trace) if _is_auxiliary(site)]


def check_same_latents(model_trace: Trace, guide_trace: Trace, *, sums_out: bool = False) -> None:
    """Check that model and guide have the same latent sites, and the guide nothing else.

    :param sums_out: whether a site that the model alone has, and marks enumerate, is summed out,
        so that it is no latent of the pair.
    :raises ValueError: with the names of both, for a latent that only one of the two programs has,
        with the nearest name of the other, and as :func:`check_draws_only_latents`.
    """
    of_guide = guide_trace.nodes
    unobserved = [
        (name, site)
        for name, site in _unobserved(model_trace)
        if name in of_guide or not (sums_out and site["infer"].get("enumerate"))
    ]
    in_model = sorted(name for name, _ in unobserved)
    for name, _ in auxiliary_sites(guide_trace):
        if name in in_model:
            raise ValueError(
                f"site {name!r} is marked is_auxiliary in the guide, and the model has it: it is a "
                "latent, so leave the mark out"
            )
    check_draws_only_latents(guide_trace)
    in_guide = sorted(name for name, _ in latent_sites(guide_trace))
    if in_model != in_guide:
        raise ValueError(
            f"the model's latent sites are {', '.join(in_model) or 'none'}, the guide's "
            f"{', '.join(in_guide) or 'none'}: they must be the same"
            f"{_nearest(in_model, in_guide)}; choose another --guide or rename the sites"
            f"{_enumerated(model_trace, in_guide)}"
        )


def _nearest(in_model: list[str], in_guide: list[str]) -> str:
    """Which name of the guide may have been meant for which of the model."""
    missing = [name for name in in_model if name not in in_guide]
    for name in in_guide:
        if name not in in_model and (near := difflib.get_close_matches(name, missing, n=1)):
            return f", and {name!r} of the guide is nearest to {near[0]!r} of the model"
    return ""


def _enumerated(model_trace: Trace, in_guide: list[str]) -> str:
    """What to do about a latent that the model would have summed out."""
    for name, site in _unobserved(model_trace):
        if name not in in_guide and site["infer"].get("enumerate"):
            return (
                f"; {name!r} is marked enumerate in the model, and what is asked for here is of "
                "draws of every latent: give the guide a site for it, or write the sum as a "
                "distribution, such as DiagonalGaussianMixture, in the place of the sites that "
                "depend on it"
            )
    return ""


def check_draws_only_latents(guide_trace: Trace) -> None:
    """Check that a guide has nothing beside latents: no bound of ours would count it.

    :raises ValueError: with the site's name, for a ``pyro.factor`` or an observed site, and for an
        auxiliary site of which no latent is made.
    """
    auxiliary = auxiliary_sites(guide_trace)
    images = [site for _, site in latent_sites(guide_trace) if isinstance(site["fn"], Delta)]
    if sum(map(_size, images)) < sum(_size(site) for _, site in auxiliary):
        raise ValueError(
            f"the guide's site {auxiliary[0][0]!r} is marked is_auxiliary, and its latents do not "
            "say where it was drawn, so their density is not known: make each latent of it a "
            "pyro.distributions.Delta with the log_density of the map, or give the model a site "
            f"{auxiliary[0][0]!r} too, and leave the mark out"
        )
    for name, site in random_sites(guide_trace):
        if site["is_observed"]:
            raise ValueError(_observed_in_guide(name, site))


def _unobserved(trace: Trace) -> list[tuple[str, Any]]:
    return [(name, site) for name, site in random_sites(trace) if not site["is_observed"]]


def _is_auxiliary(site: Any) -> bool:
    return bool(site["infer"].get("is_auxiliary"))


def _size(site: Any) -> int:
    return site["fn"].event_shape.numel()


def _observed_in_guide(name: str, site: Any) -> str:
    if isinstance(site["fn"], Unit):
        return (
            f"the guide has a factor, {name!r}, beside its latent sites, and only densities of "
            "latents are weighed: put the term into the distribution of a latent site, such as a "
            "pyro.distributions.TransformedDistribution for a Jacobian"
        )
    return (
        f"the guide's site {name!r} is observed, and a guide draws latents alone: leave obs= out, "
        "or observe the site in the model"
    )
