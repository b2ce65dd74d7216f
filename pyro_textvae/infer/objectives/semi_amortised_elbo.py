# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The evidence lower bound of a posterior that starts at the guide's and is refined by gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.enumeration.marks import is_marked
from pyro_textvae.infer.global_latents import global_sites
from pyro_textvae.infer.kl_schedule import KLSchedule
from pyro_textvae.infer.objectives.beta_elbo import BetaELBO
from pyro_textvae.infer.plates import SitePlates, named
from pyro_textvae.infer.sites import check_draws_only_latents, latent_sites
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.trainable import cannot_sum
from pyro_textvae.nn.plain_kernels import plain_kernels

_Parameters = dict[str, tuple[Tensor, Tensor]]
"""Location and log variance of each latent site."""


class SemiAmortisedELBO(BetaELBO):
    r"""The weighted bound of BetaELBO at a posterior refined from the guide's output.

    .. math::
        \lambda_{s+1} = \lambda_s + \eta \, \nabla_\lambda \mathrm{ELBO}_\beta(x; \lambda_s),
        \qquad \lambda_0 = \text{guide}(x), \quad s < S

    ``num_steps`` steps of gradient ascent move each sentence's locations and log variances up the
    weighted bound; the loss is the bound where they end. Its gradient goes back through all the
    steps: to the model along the whole path and to the guide at its start. Evaluation scores the
    guide as it is; ``evaluate --proposal refined`` refines it too.

    Source: Kim et al. (2018), algorithm 1, https://arxiv.org/abs/1802.02550.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> def model(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(z.squeeze(-1), 1.0), obs=tokens)
    >>> def guide(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         pyro.sample("z", dist.Normal(torch.zeros(len(tokens), 1), 1.0).to_event(1))
    >>> objective = SemiAmortisedELBO(num_particles=100, num_steps=20, step_size=0.3)
    >>> (site,) = objective.terms(model, guide, tokens=torch.tensor([2.0])).passes[0]
    >>> round(site.posterior.mean.mean().item())  # The posterior's mean is half of x.
    1

    :param num_steps: S, gradient steps of each sentence.
    :param step_size: of a step.
    :param clip_norm: largest norm of the step's gradient of a sentence. The paper clips the norm
        of a whole batch, which makes a sentence's posterior depend on its batch.
    :param through_steps: False for the first-order form, where the guide's start is treated as the
        end: no second derivatives, for networks that have none.
    :param site_weights: as in :class:`BetaELBO`; the posterior is refined for the weighted bound.
    :raises ValueError: for a guide that is not a diagonal Gaussian vector, or that draws one latent
        from another: refined apart from each other, they would no longer be the guide's.
    """

    takes_global_latents = False

    def __init__(
        self,
        kl_weight: float | KLSchedule = 1.0,
        num_particles: int = 1,
        num_steps: int = 5,
        step_size: float = 1.0,
        clip_norm: float = 5.0,
        through_steps: bool = True,
        site_weights: Mapping[str, float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(kl_weight, num_particles, site_weights=site_weights, **options)
        if num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {num_steps}")
        for name, value in (("step_size", step_size), ("clip_norm", clip_norm)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, got {value}")
        self.num_steps = num_steps
        self.step_size = step_size
        self.clip_norm = clip_norm
        self.through_steps = through_steps
        self._guide: Any = None

    def terms(self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any) -> PerDatumTerms:
        """Refine the guide's posterior, and return the terms at its end."""
        keep_graph = torch.is_grad_enabled() and self.through_steps
        self._guide = guide
        with torch.enable_grad():
            with poutine.block(), _Leaves():
                trace = trace_guide(guide, *args, **named(guide, args, kwargs))
            check_draws_only_latents(trace)
            for name, _ in global_sites(trace):
                self.check_takes_globals(name)
            sites = dict(latent_sites(trace))
            for name, site in sites.items():
                if is_marked(site):
                    raise ValueError(cannot_sum(name, type(self).__name__))
            start = _gaussian_parameters(sites)
            _check_apart(sites, start)
        place = start
        with plain_kernels():
            for _ in range(self.num_steps):
                place = self._step(model, place, sites, args, kwargs, keep_graph)
        if torch.is_grad_enabled() and not self.through_steps:
            place = {
                name: (
                    start[name][0] + (loc - start[name][0]).detach(),
                    start[name][1] + (log_variance - start[name][1]).detach(),
                )
                for name, (loc, log_variance) in place.items()
            }
        return super().terms(model, _guide_at(place, sites), *args, **kwargs)  # type: ignore[arg-type]

    def _plate_nesting(self, model: nn.Module, guide: nn.Module, args: tuple, kwargs: dict) -> int:
        # Of the guide itself: each step makes another, whose plates would be looked for anew.
        return super()._plate_nesting(model, self._guide, args, kwargs)

    def _step(
        self,
        model: nn.Module,
        place: _Parameters,
        sites: Mapping[str, Any],
        args: tuple,
        kwargs: dict,
        keep_graph: bool,
    ) -> _Parameters:
        with torch.enable_grad():
            place = {
                name: (_with_gradient(loc, keep_graph), _with_gradient(log_variance, keep_graph))
                for name, (loc, log_variance) in place.items()
            }
            guide: Any = _guide_at(place, sites)
            terms = super().terms(model, guide, *args, **kwargs)
            flat = [value for pair in place.values() for value in pair]
            gradients = torch.autograd.grad(self.bound(terms).sum(), flat, create_graph=keep_graph)
        squared = torch.stack([g.square().sum(-1, keepdim=True) for g in gradients]).sum(0)
        shrink = self.clip_norm / (squared + 1e-12).sqrt().clamp(min=self.clip_norm)
        moved = [
            value + self.step_size * shrink * gradient
            for value, gradient in zip(flat, gradients, strict=True)
        ]
        return {name: (moved[2 * i], moved[2 * i + 1]) for i, name in enumerate(place)}


def _with_gradient(value: Tensor, keep_graph: bool) -> Tensor:
    """Something to differentiate in, even where the guide keeps the value fixed."""
    return value if keep_graph and value.requires_grad else value.detach().requires_grad_()


def _gaussian_parameters(sites: Mapping[str, Any]) -> _Parameters:
    parameters: _Parameters = {}
    for name, site in sites.items():
        posterior = site["fn"]
        plates = SitePlates.of(name, site)
        if plates.inner or plates.data != -1:
            raise ValueError(
                f"latent site {name!r} is not in the plate 'data' alone, at the dimension -1, "
                "and only such a latent can be refined: use --objective beta_elbo"
            )
        if isinstance(posterior, Normal | Independent) and len(posterior.event_shape) != 1:
            raise ValueError(
                f"the guide of latent site {name!r} has event shape "
                f"{tuple(posterior.event_shape)}, and only a vector can be refined: end it in "
                "to_event(1), or use --objective beta_elbo"
            )
        is_diagonal = isinstance(posterior, Independent) and isinstance(posterior.base_dist, Normal)
        if not (is_diagonal and posterior.batch_shape == posterior.batch_shape[-1:]):
            raise ValueError(
                f"the guide of latent site {name!r} is {type(posterior).__name__} of "
                f"{type(getattr(posterior, 'base_dist', posterior)).__name__}, and only a diagonal "
                "Gaussian can be refined: use guide gaussian"
            )
        parameters[name] = (posterior.base_dist.loc, 2 * posterior.base_dist.scale.log())
    if not parameters:
        raise ValueError("the guide has no latent to refine: use --objective beta_elbo")
    return parameters


class _Leaves(Messenger):
    """Makes every draw a leaf of the graph, so that what is made of it can be told."""

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["value"].is_floating_point():
            msg["value"] = msg["value"].detach().requires_grad_()


def _check_apart(sites: Mapping[str, Any], parameters: _Parameters) -> None:
    """Check that no posterior is made of the draw of another site."""
    if len(sites) < 2:
        return
    draws = [site["value"] for site in sites.values()]
    for name, pair in parameters.items():
        made = sum(value.sum() for value in pair)
        if not isinstance(made, Tensor) or not made.requires_grad:
            continue
        gradients = torch.autograd.grad(made, draws, retain_graph=True, allow_unused=True)
        for above, gradient in zip(sites, gradients, strict=True):
            if gradient is not None:
                raise ValueError(
                    f"the guide draws latent site {name!r} from its draw of {above!r}, and only "
                    "latents that do not depend on each other can be refined: use --objective "
                    "beta_elbo"
                )


def _guide_at(place: _Parameters, sites: Mapping[str, Any]) -> Callable[..., None]:
    """A guide that draws from these posteriors, whatever the sentences are.

    :param sites: those of the guide itself, for their scale and mask.
    """

    def guide(*args: Any, **kwargs: Any) -> None:
        size = next(iter(place.values()))[0].shape[-2]
        with pyro.plate(DATA_PLATE, size):
            for name, (loc, log_variance) in place.items():
                posterior = dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1)
                mask = sites[name]["mask"]
                with (
                    poutine.scale(scale=sites[name]["scale"]),
                    poutine.mask(mask=True if mask is None else mask),
                ):
                    pyro.sample(name, posterior)

    return guide
