# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Gradients of log-weights in which the ways back to the guide are told apart.

For terms computed with ``Draws.CUT``. The gradient of ``log p(x, z) - log q(z | x)`` has three
parts: the model's own parameters; the draws, and through them the guide; and the guide's own
parameters at given draws. A doubly reparameterised estimator weights the first two unequally and
drops the third, whose expectation the second already has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from pyro_textvae.infer.latent_site import LatentSite, by_datum, over_draw
from pyro_textvae.infer.terms import PerDatumTerms


def doubly_reparameterised(
    terms: PerDatumTerms, weights: Tensor, factor: Callable[[Tensor], Tensor]
) -> Tensor:
    """A surrogate of each sentence, ``(N,)``: only its gradient has a meaning.

    The model's parameters get the gradient of ``sum_k weights log p(x, z_k)``; the guide's get that
    of ``sum_k factor weights (log p(x, z_k) - log q(z_k | x))`` through the draws alone, with the
    guide's parameters in log q held fixed. The draws of all latents count as one vector, so the
    estimator is right for latents that depend on each other too. One backward pass.

    Source: Tucker et al. (2019), Doubly reparameterized gradient estimators for Monte Carlo
    objectives, equation 8, https://arxiv.org/abs/1810.04152; Bauer & Mnih (2021), Generalized
    doubly reparameterized gradient estimators, https://arxiv.org/abs/2101.11046, for several
    latents.

    :param weights: ``(K, N)``, constants.
    :param factor: of the weight of a draw: that weight once more for DReG, one for STL. Where a
        site has a draw for each value of enumerated sites, each has its share of the weight.
    :raises ValueError: for a guide whose density is the same everywhere, such as a uniform one of
        which only the bounds are learnt.
    """
    surrogate = (weights * terms.log_joint).sum(0)
    for rows, site in _rows_and_sites(terms):
        scale = factor(_weights_of_draws(site, weights[rows]))
        site.seen_by_model.register_hook(lambda gradient, scale=scale: scale * gradient)
    for site, gradient in _gradients_of_log_guide(terms, weights):
        surrogate = surrogate - _inner_product(site, site.seen_by_model, gradient)
    return surrogate


def to_the_guide_alone(terms: PerDatumTerms, weights: Tensor, model_weights: Tensor) -> Tensor:
    """A surrogate of each sentence, ``(N,)``: only its gradient has a meaning.

    The model's parameters get the gradient of ``sum_k model_weights log p(x, z_k)``; the guide's
    get the whole gradient of ``sum_k weights (log p(x, z_k) - log q(z_k | x))``, through the draws
    and through log q. One backward pass, and one more through the model down to the draws.

    :param weights: ``(K, N)``, constants.
    :param model_weights: ``(K, N)``, constants.
    """
    sites = [site for _, site in _rows_and_sites(terms)]
    surrogate = (model_weights * terms.log_joint).sum(0) - (weights * terms.log_guide).sum(0)
    if not sites:
        return surrogate
    seen = [site.seen_by_model for site in sites]
    leaves = [site.node["value"] for site in sites]
    of_model = _gradients(terms.log_joint, weights, seen)
    of_guide = _gradients(terms.log_guide, weights, leaves)
    for site, one, other in zip(sites, of_model, of_guide, strict=True):
        site.seen_by_model.register_hook(torch.zeros_like)
        surrogate = surrogate + _inner_product(site, site.draw, one - other)
    return surrogate


def _gradients(log_prob: Tensor, weights: Tensor, places: list[Tensor]) -> Sequence[Tensor]:
    if not log_prob.requires_grad:  # A guide of points, whose log q is a constant.
        return [torch.zeros_like(place) for place in places]
    return torch.autograd.grad(
        (weights * log_prob).sum(), places, retain_graph=True, materialize_grads=True
    )


def check_drawn_alike(terms: PerDatumTerms, objective: str) -> None:
    """Check that no site with a draw for each value of enumerated sites is drawn from one without.

    :raises ValueError: with the names of both: the weights of the two draws differ, and the path
        from one to the other would have the wrong one.
    """
    for sites in terms.passes if terms.enumerated else ():
        drawn = [site for site in sites if site.draw.requires_grad]
        for place, site in enumerate(drawn):
            for above in drawn[:place]:
                if set(site.drawn_for_each) == set(above.drawn_for_each):
                    continue
                (path,) = torch.autograd.grad(
                    site.draw.sum(), above.draw, retain_graph=True, allow_unused=True
                )
                if path is not None:
                    raise ValueError(
                        f"the guide draws latent site {site.name!r} for each value of "
                        f"{', '.join(map(repr, site.drawn_for_each))} from its draw of "
                        f"{above.name!r}, which has not one for each: {objective} would weigh the "
                        "path between them wrongly; train by IWAE"
                    )


def _weights_of_draws(site: LatentSite, weights: Tensor) -> Tensor:
    """``(K, N)`` in a shape that multiplies the draw, split among values of enumerated sites."""
    of_particles = over_draw(site, weights)
    if not site.drawn_for_each:
        return of_particles
    shares = site.shares()
    return of_particles * shares.reshape(shares.shape + (1,) * len(site.posterior.event_shape))


def _rows_and_sites(terms: PerDatumTerms) -> Iterator[tuple[slice, LatentSite]]:
    """Every draw with a gradient, of every pass, and the particles that the pass has."""
    count = len(terms.log_likelihood) // len(terms.passes)
    for place, sites in enumerate(terms.passes):
        for site in sites:
            if site.draw.requires_grad:
                yield slice(place * count, (place + 1) * count), site


def _gradients_of_log_guide(
    terms: PerDatumTerms, weights: Tensor
) -> Iterator[tuple[LatentSite, Tensor]]:
    """Of ``sum_k weights log q(z_k | x)`` in each draw, all other draws and the guide held fixed.

    A draw is in log q where it is scored, and where the guide made later draws depend on it.
    """
    total = (weights * terms.log_guide).sum()
    if not total.requires_grad:
        return
    for sites in terms.passes:
        later: list[tuple[Tensor, Tensor]] = []
        for site in reversed([site for site in sites if site.draw.requires_grad]):
            if site.is_image:  # What log q says of it, it says of what it is made of.
                continue
            places = [site.node["value"], site.draw]
            scored, through = torch.autograd.grad(
                total, places, retain_graph=True, allow_unused=True
            )
            if scored is None:
                raise ValueError(
                    f"the guide of latent site {site.name!r} has the same density everywhere "
                    f"({type(site.posterior).__name__}), so only its support can move, which a "
                    "doubly reparameterised gradient does not see: train it with IWAE"
                )
            if through is not None:
                for draw, gradient in later:
                    # What reaches this draw through a later one is not its own.
                    (excess,) = torch.autograd.grad(
                        draw, site.draw, gradient, retain_graph=True, allow_unused=True
                    )
                    through = through if excess is None else through - excess
                later.append((site.draw, through))
                scored = scored + through
            yield site, scored


def _inner_product(site: LatentSite, draw: Tensor, gradient: Tensor) -> Tensor:
    """Of each sentence, ``(N,)``; its gradient in the draw is ``gradient``."""
    event_dims = list(range(-len(site.posterior.event_shape), 0))
    product = draw * gradient
    value = product.sum(event_dims) if event_dims else product
    return by_datum(site.name, site.node, value).sum(0)
