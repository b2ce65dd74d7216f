# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The base of objectives that are computed sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pyro.infer import ELBO
from pyro.poutine import Trace
from torch import Tensor, nn

from pyro_textvae.infer.batches import check_batch
from pyro_textvae.infer.constraint import KLConstraint
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.plates import find_plates
from pyro_textvae.infer.terms import PerDatumTerms, join_terms, read_terms
from pyro_textvae.infer.traces import Draws, trace_pair


class PerDatumELBO(ELBO):
    """Base of objectives that are computed sentence by sentence.

    A subclass implements :meth:`bound`, the quantity to maximise for each sentence; an estimator
    whose gradient is not the bound's derivative implements :meth:`surrogate` too. It then works
    as ``objective(model, guide)`` under ``torch.optim`` and as ``SVI(..., loss=objective)``.

    Assumes the contract: every sample site in one vectorised plate ``"data"``. Other plates may
    stand inside it: the terms of a sentence are summed over them. Particles go to the left of all
    plates. Each program is called with the fields of the batch that its ``forward`` names.

    :raises ValueError: with the site's name, for a sample site outside that plate, for sites of
        unequal scale, for a latent that only one of the two programs has, and for a latent whose
        draws have no gradient under an objective that needs it.

    :param num_particles: draws of the latents for each sentence.
    :param vectorize_particles: run all draws at once, ``(K, N, ...)``; otherwise one by one.
    :param constraint: what stands in the place of the KL term in training.
    """

    draws: Draws = Draws.CONNECTED
    """How the gradient of the bound comes back to the guide."""

    takes_discrete_latents: bool = False
    """Whether latents without reparameterisation have a gradient under this objective."""

    kl_weight: float = 1.0
    """What the KL term, or the constraint in its place, is multiplied by at present."""

    latest: PerDatumTerms | None = None
    """Terms of the last training pass, without gradients: what a log needs, for free."""

    def __init__(
        self,
        num_particles: int = 1,
        *,
        vectorize_particles: bool = True,
        constraint: KLConstraint | None = None,
    ) -> None:
        if num_particles < 1:
            raise ValueError(f"num_particles must be at least 1, got {num_particles}")
        super().__init__(
            num_particles=num_particles,
            max_plate_nesting=1,
            vectorize_particles=vectorize_particles,
        )
        self.constraint = constraint

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, ``(N,)`` nats, to be maximised."""
        raise NotImplementedError(f"{type(self).__name__} does not define bound")

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """What has the estimator's gradient, ``(N,)``; the bound itself unless it says otherwise.

        Only the gradient is taken from it, never the value.
        """
        return self.bound(terms)

    def terms(self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any) -> PerDatumTerms:
        """Run guide and model once, and return their terms for each sentence."""
        traces = self._get_traces(model, guide, args, kwargs)
        return join_terms([read_terms(*traced) for traced in traces])

    def differentiable_loss(
        self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Minus the bound, summed over the sentences of the batch; differentiable.

        Its value is minus the bound, less what the constraint changes; its gradient is the
        estimator's.
        """
        terms = self.terms(model, guide, *args, **kwargs)
        self._check_latents(terms)
        self.latest = terms.detached()
        surrogate = self.surrogate(terms)
        bound = self.bound(self.latest)
        value = (surrogate - surrogate.detach()) + bound
        return -(terms.scale * (value - self._constrained(terms))).sum()

    @torch.no_grad()
    def loss(self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any) -> float:
        """Minus the bound, less what the constraint changes, summed over the batch."""
        terms = self.terms(model, guide, *args, **kwargs)
        return -(terms.scale * (self.bound(terms) - self._constrained(terms))).sum().item()

    def loss_and_grads(
        self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any
    ) -> float:
        """The loss, with its gradients accumulated: what ``pyro.infer.SVI`` calls."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward()
        return loss.item()

    def advance(self) -> None:
        """Move on by one training step: KL schedule and constraint, where there are any."""
        if self.constraint is not None and self.latest is not None:
            self.constraint.advance(self.latest)

    def describe(self) -> dict[str, float]:
        """Numbers of the present step for the log of a run."""
        return {} if self.constraint is None else self.constraint.describe()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {} if self.constraint is None else {"constraint": self.constraint.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where ``state_dict`` left off."""
        if self.constraint is not None:
            self.constraint.load_state_dict(state["constraint"])

    def _constrained(self, terms: PerDatumTerms) -> Tensor | float:
        """What the constraint adds to the loss of each sentence, ``(N,)``."""
        if self.constraint is None:
            return 0.0
        for site in terms.passes[0] if self.constraint.needs_gradient_through_draws else ():
            if site.inner_plates:
                raise ValueError(
                    f"{type(self.constraint).__name__} compares one draw of each sentence, and "
                    f"latent site {site.name!r} has several, in the plate "
                    f"{', '.join(map(repr, site.inner_plates))}: take another constraint, such as "
                    "free_bits_per_site"
                )
        return self.kl_weight * (self.constraint(terms) - terms.total_kl.mean(0))

    def _check_latents(self, terms: PerDatumTerms) -> None:
        name = type(self).__name__
        sites = terms.passes[0]
        for site in sites:
            if not (site.is_reparameterised or self.takes_discrete_latents):
                raise ValueError(
                    f"the guide of latent site {site.name!r} is not reparameterised, so its "
                    f"gradient would be lost under {name}: train it with VIMCO, ThermodynamicELBO "
                    "or WakeSleep"
                )
            if self.constraint is None:
                continue
            if site.prior is None:
                raise ValueError(
                    f"the guide makes its latents of the auxiliary site {site.name!r}, so that "
                    f"none has a KL of its own for {type(self.constraint).__name__}: leave the "
                    "constraint out, or give each latent a distribution of its own in the guide"
                )
            joined = f"{type(self.constraint).__name__} joined to {name}"
            through_log_q = self.draws is not Draws.CONNECTED or not site.is_reparameterised
            if through_log_q and len(sites) > 1:
                raise ValueError(
                    f"{joined} has no right gradient for latents that may depend on each other, "
                    f"and there are {len(sites) - 1} more beside {site.name!r}: join it to "
                    "BetaELBO or IWAE"
                )
            if through_log_q and site.name not in terms.closed_form:
                raise ValueError(
                    f"{joined} needs the KL of site {site.name!r} in closed form, and "
                    f"{type(site.posterior).__name__} against {type(site.prior).__name__} has "
                    "none: join it to BetaELBO or IWAE"
                )
            detached = self.draws is Draws.DETACHED or not site.is_reparameterised
            if detached and self.constraint.needs_gradient_through_draws:
                raise ValueError(
                    f"{joined} would have no gradient, for there is none through the draws of site "
                    f"{site.name!r}: take a reparameterised guide under BetaELBO, IWAE or DReG, or "
                    "another constraint"
                )

    def _get_traces(
        self, model: nn.Module, guide: nn.Module, args: tuple, kwargs: dict
    ) -> Iterator[tuple[Trace, Trace, dict[str, Tensor]]]:
        if self.vectorize_particles and self.num_particles > 1:
            self.max_plate_nesting = 1 + self._plate_nesting(model, guide, args, kwargs)
            yield self._get_vectorized_trace(model, guide, args, kwargs)
            return
        for _ in range(self.num_particles):
            yield self._get_trace(model, guide, args, kwargs)

    def _plate_nesting(self, model: nn.Module, guide: nn.Module, args: tuple, kwargs: dict) -> int:
        """How many dimensions the plates of the programs take together."""
        return find_plates(model, guide, args, kwargs).nesting

    def _get_trace(
        self, model: nn.Module, guide: nn.Module, args: tuple, kwargs: dict
    ) -> tuple[Trace, Trace, dict[str, Tensor]]:
        draws = self.draws if torch.is_grad_enabled() else Draws.CONNECTED
        return trace_pair(model, guide, args, kwargs, draws)


def log_weights(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], num_particles: int = 1
) -> Tensor:
    r"""The logarithms of the importance weights of ``num_particles`` draws, ``(K, N)`` nats.

    .. math:: \log w_k = \log p(x, z_k) - \log q(z_k \mid x), \qquad z_k \sim q(z \mid x)

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=8)
    >>> model = SentenceVAE(prior=StandardNormal(2), decoder=decoder)
    >>> guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=2)
    >>> batch = {"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}
    >>> log_weights(model, guide, batch, num_particles=3).shape
    torch.Size([3, 2])

    :param batch: of its fields each program gets those that it names.
    :raises ValueError: as :class:`PerDatumELBO`, and for what is no batch.
    """
    check_batch(batch)
    with isolated(model, guide):
        return PerDatumELBO(num_particles).terms(model, guide, **batch).log_weights
