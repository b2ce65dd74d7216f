# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The base of objectives that are computed sentence by sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.infer import ELBO
from pyro.infer.elbo import ELBOModule
from pyro.poutine import Trace
from torch import Tensor, nn

from pyro_textvae.contract import PARTICLE_PLATE
from pyro_textvae.infer.auxiliary import AuxiliaryLoss, TrainingPass, as_modules
from pyro_textvae.infer.batches import check_batch
from pyro_textvae.infer.constraint import KLConstraint
from pyro_textvae.infer.enumeration.marks import MarkedSite, has_marks, looking_for_marks
from pyro_textvae.infer.enumeration.read import read_enumerated_terms
from pyro_textvae.infer.forgotten_plate import check_are_global
from pyro_textvae.infer.global_latents import (
    ParticlePlate,
    cannot_train,
    global_part,
    global_sites,
    size_not_known,
)
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.plates import find_plates
from pyro_textvae.infer.terms import PerDatumTerms, join_terms, read_terms
from pyro_textvae.infer.traces import Draws, trace_pair
from pyro_textvae.infer.trainable import check_trainable


class PerDatumELBO(ELBO):
    r"""Base of objectives that are computed sentence by sentence.

    A subclass implements :meth:`bound`, the quantity to maximise for each sentence; an estimator
    whose gradient is not the bound's derivative implements :meth:`surrogate` too. It then works
    as ``objective(model, guide)`` under ``torch.optim`` and as ``SVI(..., loss=objective)``.

    Assumes the contract: what belongs to a sentence is in one vectorised plate ``"data"``. Other
    plates may stand inside it: the terms of a sentence are summed over them. Particles go to the
    left of all plates. Each program is called with the fields of the batch that its ``forward``
    names.

    A site of the guide that is marked ``infer={"enumerate": "parallel"}`` is summed over, and not
    drawn, under Pyro's own enumeration; so is a discrete site that the model alone has and marks.
    A bound that is a mean over draws has the mean under q(y | x) then, one of importance weights
    the sum of p(x, y, z) / q(z | x, y) over the values y, with a draw of z for each value where the
    guide draws it so; see :class:`~pyro_textvae.infer.terms.PerDatumTerms`.

    A latent outside that plate is global: one for the whole corpus, such as a matrix of topics or
    a Bayesian weight. All particles of a batch share one draw of it, and the loss of B sentences
    out of N has B / N of its KL, so that the losses of an epoch add up to minus the bound of the
    corpus:

    .. math::
        \mathrm{loss} = - \sum_{n=1}^{B} \mathrm{bound}_n(g)
        + \beta \, \frac{B}{N} \, \mathrm{KL}(q(g), p(g)), \qquad g \sim q(g)

    Source: Hoffman et al. (2013), Stochastic Variational Inference, equation 19,
    https://arxiv.org/abs/1206.7051, for a batch's share of what is global.

    :raises ValueError: with the site's name, for an observed site outside that plate, for sites of
        unequal scale, for a latent that only one of the two programs has, for a latent whose
        draws have no gradient under an objective that needs it, for a global latent without
        ``corpus_size``, under an objective that needs several draws of it, or whose draws have no
        gradient, and for more than 4,096 values to sum over.

    :param num_particles: draws of the latents for each sentence.
    :param vectorize_particles: run all draws at once, ``(K, N, ...)``; otherwise one by one.
    :param constraint: what stands in the place of the KL term in training, of sentences' latents.
    :param corpus_size: N, the sentences that all batches are from; a run's trainer knows it. Needed
        where there is a global latent, unless the programs say it, by
        ``pyro.plate("data", N, subsample_size=B)``.
    :param max_plate_nesting: how many dimensions the plates of model and guide take at most, as in
        Pyro: the particles go to the left of so many. By default they are counted, by one run of
        both before the first pass with vectorised particles.
    :param auxiliaries: losses that are added to the loss, and to no bound.
    """

    draws: Draws = Draws.CONNECTED
    """How the gradient of the bound comes back to the guide."""

    takes_discrete_latents: bool = False
    """Whether latents without reparameterisation have a gradient under this objective."""

    takes_global_latents: bool = True
    """Whether one draw of a latent of the whole corpus is enough for this objective."""

    takes_enumerated_sites: bool = True
    """Whether sites of the guide may be summed over under this objective."""

    trains_enumerated_sites: bool = True
    """Whether the guide's posterior of a site that it enumerates is in the bound, and so learns."""

    is_importance_weighted: bool = False
    """Whether the bound tightens with its particles: validation then takes as many."""

    kl_weight: float = 1.0
    """What the KL term, or the constraint in its place, is multiplied by at present."""

    latest: PerDatumTerms | None = None
    """Terms of the last training pass, without gradients: what a log needs, for free."""

    latest_auxiliaries: Mapping[str, Tensor] = {}
    """The auxiliary losses of the last training pass by name, ``(N,)``, without their weights."""

    def __init__(
        self,
        num_particles: int = 1,
        *,
        vectorize_particles: bool = True,
        constraint: KLConstraint | None = None,
        corpus_size: int | None = None,
        max_plate_nesting: float = math.inf,
        auxiliaries: Iterable[AuxiliaryLoss] = (),
    ) -> None:
        if corpus_size is not None and corpus_size < 1:
            raise ValueError(f"corpus_size must be at least 1, got {corpus_size}")
        if num_particles < 1:
            raise ValueError(f"num_particles must be at least 1, got {num_particles}")
        is_counted = max_plate_nesting == math.inf
        if not (is_counted or (max_plate_nesting >= 1 and max_plate_nesting % 1 == 0)):
            raise ValueError(
                "max_plate_nesting must be a whole number of at least 1, for the plate 'data', got "
                f"{max_plate_nesting}: leave it out to have the plates counted"
            )
        self._nesting_given = None if is_counted else int(max_plate_nesting)
        self._enumerate_from: int | None = None
        super().__init__(
            num_particles=num_particles,
            max_plate_nesting=self._nesting_given or 1,
            vectorize_particles=vectorize_particles,
        )
        self.constraint = constraint
        self.corpus_size = corpus_size
        self.auxiliaries = as_modules(auxiliaries)

    def __call__(self, model: nn.Module, guide: nn.Module) -> ELBOModule:
        """The loss of a batch as a module, whose parameters are all that is to be trained."""
        module = super().__call__(model, guide)
        if self.auxiliaries:
            module.auxiliaries = self.auxiliaries
        return module

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
        terms = join_terms(self._passes(model, guide, args, kwargs))
        if terms.global_sites:
            names = [site.name for site in terms.global_sites]
            check_are_global(model, guide, names, args, kwargs)
        return terms

    def differentiable_loss(
        self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Minus the bound, summed over the sentences of the batch; differentiable.

        Its value is minus the bound, less what the constraint changes, and the weighted auxiliary
        losses; its gradient is the estimator's.
        """
        terms = self.terms(model, guide, *args, **kwargs)
        self._check_globals(terms)
        check_trainable(self, terms)
        self.latest = terms.detached()
        surrogate = self.surrogate(terms)
        bound = self.bound(self.latest)
        value = (surrogate - surrogate.detach()) + bound - self._constrained(terms)
        loss = -(terms.scale * (value - self._auxiliary(model, terms, kwargs))).sum()
        return loss + self._global_loss(terms) if terms.global_sites else loss

    @torch.no_grad()
    def loss(self, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any) -> float:
        """What :meth:`differentiable_loss` has the value of, as a number."""
        terms = self.terms(model, guide, *args, **kwargs)
        value = self.bound(terms) - self._constrained(terms)
        loss = -(terms.scale * (value - self._auxiliary(model, terms, kwargs))).sum()
        return (loss + self._global_loss(terms) if terms.global_sites else loss).item()

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
        state = {} if self.constraint is None else {"constraint": self.constraint.state_dict()}
        if self.auxiliaries:
            state["auxiliaries"] = self.auxiliaries.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where ``state_dict`` left off."""
        if self.constraint is not None:
            self.constraint.load_state_dict(state["constraint"])
        if self.auxiliaries:
            self.auxiliaries.load_state_dict(state["auxiliaries"])

    def _constrained(self, terms: PerDatumTerms) -> Tensor | float:
        """What the constraint adds to the loss of each sentence, ``(N,)``."""
        if self.constraint is None:
            return 0.0
        for site in terms.passes[0] if self.constraint.needs_gradient_through_draws else ():
            if site.drawn_for_each:
                raise ValueError(
                    f"{type(self.constraint).__name__} compares one draw of each sentence, and "
                    f"latent site {site.name!r} has one for each value of "
                    f"{', '.join(map(repr, site.drawn_for_each))}: take another constraint, such "
                    "as free_bits_per_site"
                )
            if site.inner_plates:
                raise ValueError(
                    f"{type(self.constraint).__name__} compares one draw of each sentence, and "
                    f"latent site {site.name!r} has several, in the plate "
                    f"{', '.join(map(repr, site.inner_plates))}: take another constraint, such as "
                    "free_bits_per_site"
                )
        return self.kl_weight * (self.constraint(terms) - terms.total_kl.mean(0))

    def global_share(self, terms: PerDatumTerms) -> float:
        """B / N: the share of the KL of global latents that belongs to the batch.

        :raises ValueError: with the site's name, where N is not known, and for an objective that
            one draw is not enough for.
        """
        site = terms.global_sites[0].name
        self.check_takes_globals(site)
        sizes = {size for size in (self.corpus_size, terms.corpus_size) if size is not None}
        if not sizes:
            raise ValueError(size_not_known(site, type(self).__name__))
        if len(sizes) > 1:
            raise ValueError(
                f"corpus_size is {self.corpus_size}, and the plate 'data' of the programs has size "
                f"{terms.corpus_size}: give one of them"
            )
        return terms.log_likelihood.shape[1] / sizes.pop()

    def check_takes_globals(self, site: str) -> None:
        """Refuse a global latent where one draw of it is not enough.

        :raises ValueError: with the site's name.
        """
        if not self.takes_global_latents:
            raise ValueError(cannot_train(site, type(self).__name__))

    def _global_loss(self, terms: PerDatumTerms) -> Tensor:
        """What global latents add to the loss of a batch; no dimension."""
        return terms.scale * self.kl_weight * self.global_share(terms) * terms.global_kl

    def _check_globals(self, terms: PerDatumTerms) -> None:
        for shared in terms.global_sites:
            self.global_share(terms)
            if not shared.is_reparameterised:
                raise ValueError(
                    f"the guide of the global latent {shared.name!r} is not reparameterised, so "
                    "its gradient would be lost: give it a guide of another family, such as Normal"
                )

    def _auxiliary(
        self, model: Any, terms: PerDatumTerms, batch: Mapping[str, Any]
    ) -> Tensor | float:
        """The weighted auxiliary losses of each sentence, ``(N,)``."""
        total: Tensor | float = 0.0
        losses = {}
        for name, auxiliary in self.auxiliaries.items():
            value = auxiliary(TrainingPass(model, batch, terms))
            if value.shape != terms.log_likelihood.shape[1:]:
                raise ValueError(
                    f"auxiliary loss {name!r} must be one number a sentence, of shape "
                    f"{tuple(terms.log_likelihood.shape[1:])}, got {tuple(value.shape)}"
                )
            losses[name] = value.detach()
            total = total + auxiliary.weight * value
        self.latest_auxiliaries = losses
        return total

    def _passes(
        self, model: nn.Module, guide: nn.Module, args: tuple, kwargs: dict
    ) -> list[PerDatumTerms]:
        """The terms of each pass, over all values of the sites that are marked."""
        self._enumerate_from = None
        if not has_marks(model, guide):
            try:
                with looking_for_marks(model, guide):
                    return [read_terms(*t) for t in self._get_traces(model, guide, args, kwargs)]
            except MarkedSite:
                pass
        is_vectorised = self.vectorize_particles and self.num_particles > 1
        nesting = self._plate_nesting(model, guide, args, kwargs) + is_vectorised
        self._enumerate_from = -1 - nesting
        traces = self._get_traces(model, guide, args, kwargs)
        return [read_enumerated_terms(*traced) for traced in traces]

    def _get_traces(
        self, model: nn.Module, guide: nn.Module, args: tuple, kwargs: dict
    ) -> Iterator[tuple[Trace, Trace, dict[str, Tensor]]]:
        if self.vectorize_particles and self.num_particles > 1:
            self.max_plate_nesting = 1 + self._plate_nesting(model, guide, args, kwargs)
            yield self._get_vectorized_trace(model, guide, args, kwargs)
            return
        program: Any = guide
        for _ in range(self.num_particles):
            traced = self._get_trace(model, program, args, kwargs)
            yield traced
            if global_sites(traced[1]):
                program = poutine.replay(program, trace=global_part(traced[1]))

    def _vectorized_num_particles(self, fn: Any) -> Any:
        return ParticlePlate(PARTICLE_PLATE, self.num_particles, dim=-self.max_plate_nesting)(fn)

    def _plate_nesting(self, model: nn.Module, guide: nn.Module, args: tuple, kwargs: dict) -> int:
        """How many dimensions the plates of the programs take together."""
        if self._nesting_given is not None:
            return self._nesting_given
        return find_plates(model, guide, args, kwargs).nesting

    def _get_trace(
        self, model: nn.Module, guide: nn.Module, args: tuple, kwargs: dict
    ) -> tuple[Trace, Trace, dict[str, Tensor]]:
        draws = self.draws if torch.is_grad_enabled() else Draws.CONNECTED
        return trace_pair(model, guide, args, kwargs, draws, self._enumerate_from)


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
