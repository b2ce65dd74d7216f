# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The terms of a bound, sentence by sentence, from any model and guide that keep the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer import ELBO
from pyro.infer.enum import get_importance_trace
from pyro.poutine import Trace
from torch import Tensor, nn
from torch.distributions import kl_divergence

from pyro_textvae.infer.sites import random_sites

DATA_PLATE = "data"
PARTICLE_PLATE = "num_particles_vectorized"


@dataclass(frozen=True)
class PerDatumTerms:
    """What one pass of guide and model says about each sentence; nats, shapes ``(K, N)``.

    log_likelihood
        log p(x | z_k), summed over the observed sites.
    log_ratio
        log q(z_k | x) - log p(z_k) of each latent site at its draw.
    kl
        KL(q(z | x), p(z)) of each latent site: the closed form where one is registered with
        PyTorch and the guide draws all the latents that come before the site in the model before
        it too, as the closed form needs; otherwise ``log_ratio``.
    scale
        What the programs' plates and ``poutine.scale`` multiply every sentence by. It is in none
        of the other fields: it belongs outside of any logarithm of a mean.
    """

    log_likelihood: Tensor
    log_ratio: dict[str, Tensor]
    kl: dict[str, Tensor]
    scale: Tensor | float

    @cached_property
    def log_weights(self) -> Tensor:
        """log p(x, z_k) - log q(z_k | x), ``(K, N)``."""
        return self.log_likelihood - sum(self.log_ratio.values())

    @cached_property
    def total_kl(self) -> Tensor:
        """``kl`` summed over sites, ``(K, N)``."""
        return torch.zeros_like(self.log_likelihood) + sum(self.kl.values())


class PerDatumELBO(ELBO):
    """Base of objectives that are computed sentence by sentence.

    A subclass implements :meth:`bound`, the quantity to maximise for each sentence. It then works
    as ``objective(model, guide)`` under ``torch.optim`` and as ``SVI(..., loss=objective)``.

    Assumes the contract: every sample site in one vectorised plate ``"data"``, particles to the
    left. :raises ValueError: with the site's name, for a sample site outside that plate, for sites
    of unequal scale, and for a latent site whose guide is not reparameterised.

    :param num_particles: draws of the latents for each sentence.
    :param vectorize_particles: run all draws at once, ``(K, N, ...)``; otherwise one by one.
    """

    latest: PerDatumTerms | None = None
    """Terms of the last training pass, without gradients: what a log needs, at no second pass."""

    def __init__(self, num_particles: int = 1, *, vectorize_particles: bool = True) -> None:
        if num_particles < 1:
            raise ValueError(f"num_particles must be at least 1, got {num_particles}")
        super().__init__(
            num_particles=num_particles,
            max_plate_nesting=1,
            vectorize_particles=vectorize_particles,
        )

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, ``(N,)`` nats, to be maximised."""
        raise NotImplementedError(f"{type(self).__name__} does not define bound")

    def terms(self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any) -> PerDatumTerms:
        """Run guide and model once, and return their terms for each sentence."""
        parts = [read_terms(*pair) for pair in self._get_traces(model, guide, args, kwargs)]
        if len(parts) == 1:
            return parts[0]
        return PerDatumTerms(
            log_likelihood=torch.cat([part.log_likelihood for part in parts]),
            log_ratio={n: torch.cat([p.log_ratio[n] for p in parts]) for n in parts[0].log_ratio},
            kl={name: torch.cat([part.kl[name] for part in parts]) for name in parts[0].kl},
            scale=parts[0].scale,
        )

    def differentiable_loss(
        self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Minus the bound, summed over the sentences of the batch; differentiable."""
        terms = self.terms(model, guide, *args, **kwargs)
        self.latest = PerDatumTerms(
            log_likelihood=terms.log_likelihood.detach(),
            log_ratio={name: value.detach() for name, value in terms.log_ratio.items()},
            kl={name: value.detach() for name, value in terms.kl.items()},
            scale=terms.scale,
        )
        return -(terms.scale * self.bound(terms)).sum()

    @torch.no_grad()
    def loss(self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any) -> float:
        """Minus the bound, summed over the sentences of the batch."""
        terms = self.terms(model, guide, *args, **kwargs)
        return -(terms.scale * self.bound(terms)).sum().item()

    def loss_and_grads(
        self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any
    ) -> float:
        """The loss, with its gradients accumulated: what ``pyro.infer.SVI`` calls."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward()
        return loss.item()

    def _get_trace(
        self, model: nn.Module, guide: nn.Module, args: tuple, kwargs: dict
    ) -> tuple[Trace, Trace]:
        return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)


def log_weights(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], num_particles: int = 1
) -> Tensor:
    """log p(x, z_k) - log q(z_k | x) for each sentence of ``batch``, ``(K, N)`` nats."""
    return PerDatumELBO(num_particles).terms(model, guide, **batch).log_weights


def read_terms(model_trace: Trace, guide_trace: Trace) -> PerDatumTerms:
    """Sort the log-probabilities of a pair of traces by sentence; see :class:`PerDatumELBO`."""
    scale: Tensor | float | None = None
    log_likelihood: Tensor | float = 0.0
    log_ratio: dict[str, Tensor] = {}
    for name, site in random_sites(model_trace):
        scale = _common_scale(name, site, scale)
        log_prob = by_datum(name, site, site["unscaled_log_prob"])
        if site["is_observed"]:
            log_likelihood = log_likelihood + log_prob
            continue
        guide_site: Any = guide_trace.nodes[name]
        _common_scale(name, guide_site, scale)
        if torch.is_grad_enabled() and not guide_site["fn"].has_rsample:
            raise ValueError(
                f"the guide of latent site {name!r} is not reparameterised, so its gradient would "
                "be lost: train it with pyro.infer.Trace_ELBO"
            )
        log_ratio[name] = by_datum(name, guide_site, guide_site["unscaled_log_prob"]) - log_prob
    kl = log_ratio | closed_form_kl(model_trace, guide_trace)
    shape = torch.broadcast_shapes(
        *(value.shape for value in (*log_ratio.values(), torch.as_tensor(log_likelihood)))
    )
    return PerDatumTerms(
        log_likelihood=torch.as_tensor(log_likelihood).expand(shape),
        log_ratio={name: value.expand(shape) for name, value in log_ratio.items()},
        kl={name: value.expand(shape) for name, value in kl.items()},
        scale=1.0 if scale is None else scale,
    )


def closed_form_kl(model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
    """KL(q(z | x), p(z)) of the latent sites that have a closed form, ``(K, N)`` or ``(1, N)``.

    A site has one when it is registered with PyTorch and the guide draws all the latents that come
    before the site in the model before it too: only then is its mean over the draws the KL.
    """
    kl: dict[str, Tensor] = {}
    guide_order = [name for name, _ in random_sites(guide_trace)]
    seen: set[str] = set()
    for name, site in random_sites(model_trace):
        if name not in guide_order:
            continue
        guide_site: Any = guide_trace.nodes[name]
        parents_drawn = seen <= set(guide_order[: guide_order.index(name)])
        seen.add(name)
        if not parents_drawn:
            continue
        try:
            closed_form = kl_divergence(guide_site["fn"], site["fn"])
        except NotImplementedError:
            continue
        kl[name] = by_datum(name, guide_site, closed_form)
    return kl


def by_datum(name: str, site: Any, value: Tensor) -> Tensor:
    """Mask a site's ``value`` and sum it to ``(K, N)``; ``(1, N)`` without a plate of particles.

    :raises ValueError: with the site's name, for a site outside the plate ``"data"``.
    """
    frames = {frame.name: frame for frame in site["cond_indep_stack"] if frame.vectorized}
    if DATA_PLATE not in frames:
        raise ValueError(
            f"sample site {name!r} is outside the plate 'data': the bound of each sentence is not "
            "defined; put the site inside the plate"
        )
    value = scale_and_mask(value, 1.0, site["mask"])
    value = value.expand(torch.broadcast_shapes(value.shape, site["fn"].batch_shape))
    kept = [frames[DATA_PLATE].dim]
    if PARTICLE_PLATE in frames:
        kept.append(frames[PARTICLE_PLATE].dim)
    others = [dim for dim in range(-value.dim(), 0) if dim not in kept]
    if others:
        value = value.sum(others)
    return value if value.dim() == 2 else value.unsqueeze(0)


def _common_scale(name: str, site: Any, scale: Tensor | float | None) -> Tensor | float:
    own = torch.as_tensor(site["scale"])
    if scale is not None and not torch.equal(own, torch.as_tensor(scale)):
        raise ValueError(
            f"sample site {name!r} is scaled by {site['scale']} and another by {scale}: give KL "
            "weights to the objective, not to the model or guide"
        )
    return site["scale"]
