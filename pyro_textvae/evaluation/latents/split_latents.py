# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Posteriors and priors of the latents of all sentences of a split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor, nn
from torch.distributions import kl_divergence

from pyro_textvae.contract import DATA_PLATE, TOKENS
from pyro_textvae.distributions.conditioned_flow import ConditionedFlow
from pyro_textvae.evaluation.enumeration.integrated_model import (
    IntegratedModel,
    IntegratedPrior,
)
from pyro_textvae.evaluation.latents.aggregate_posterior import independent_factors
from pyro_textvae.evaluation.latents.elbo_surgery import LatentDraws, resolution_of
from pyro_textvae.evaluation.latents.given_source import (
    InformationGivenSource,
    information_given_source,
)
from pyro_textvae.evaluation.latents.guide_density import NoDensityError
from pyro_textvae.evaluation.latents.joint_latents import JointLatents
from pyro_textvae.evaluation.latents.posterior_means import (
    PosteriorMeans,
    means_of,
    means_over_draws,
)
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.batches import check_batches, check_text
from pyro_textvae.infer.plates import Plates, frames_in_data
from pyro_textvae.infer.running import to_device
from pyro_textvae.infer.simulate import fields_of, takes_condition
from pyro_textvae.infer.sites import (
    auxiliary_sites,
    check_draws_only_latents,
    check_same_latents,
    latent_sites,
    random_sites,
)
from pyro_textvae.infer.terms import by_datum, closed_form_kl


class SplitLatents:
    """The latent sites of a split, after one pass of guide and model over its batches.

    :raises ValueError: when model and guide do not have the same latent sites, or one is outside
        the plate ``"data"``.
    """

    def __init__(
        self, model: nn.Module, guide: nn.Module, batches: Iterable[Mapping[str, Tensor]]
    ) -> None:
        check_batches(batches)
        self.num_sentences = 0
        self.sites: dict[str, SplitSite] = {}
        self.plates: Plates | None = None
        """Where the plates of the programs stand; None without a latent."""
        self.batches: list[Mapping[str, Tensor]] = []
        """Those of the split, on the device of the model, where the guide is asked again: with
        several latents, or where the model is conditioned on something."""
        for batch in batches:
            check_text(batch)
            batch = to_device(batch, model)
            self.num_sentences += len(batch[TOKENS])
            guide_trace = trace_guide(guide, **fields_of(guide, batch))
            check_draws_only_latents(guide_trace)
            latents = latent_sites(guide_trace)
            if not latents:
                continue
            replayed = poutine.replay(model, guide_trace)
            model_trace = poutine.trace(replayed).get_trace(**fields_of(model, batch))
            check_same_latents(model_trace, guide_trace)
            self.plates = Plates.of(model_trace, guide_trace)
            log_prior = None
            if isinstance(model, IntegratedModel):
                drawn = {name: site["value"] for name, site in latents}
                log_prior = self._log_prior(model, batch, drawn)
            for name, _ in latents:
                site = self.sites.setdefault(name, SplitSite(name))
                site.add(model_trace, guide_trace, log_prior)
                if isinstance(model, IntegratedModel):
                    site.priors[-1] = IntegratedPrior(model, batch, self.plates, name)
            self._compare(model, guide, batch, model_trace, guide_trace)

    def _compare(
        self,
        model: nn.Module,
        guide: nn.Module,
        batch: Mapping[str, Tensor],
        model_trace: Trace,
        guide_trace: Trace,
    ) -> None:
        """Take in where the posteriors have their means, and the priors at one value of z.

        Both may depend on the latents before them. Those are drawn many times for the means, and
        are at the same values for all sentences of the split where the priors are compared.
        """
        plates = self.plates
        assert plates is not None
        if len(self.sites) > 1 or takes_condition(model, batch):
            self.batches.append(batch)
        whole = {name: site for name, site in self.sites.items() if not site.inner_plates}
        for name, site in whole.items():
            if site.reference is None:
                value: Tensor = dict(random_sites(guide_trace))[name]["value"]
                site.reference = plates.sites[name].datum_first(value, particles=False)[0]
        values = {
            name: plates.sites[name].as_in_program(
                site.reference.expand(len(batch[TOKENS]), *site.reference.shape),
                plates.nesting,
                particles=False,
            )
            for name, site in whole.items()
            if site.reference is not None
        }
        means: Mapping[str, PosteriorMeans | None] = {}
        drawn = dict(random_sites(guide_trace))
        inner = {name: drawn[name]["value"] for name in self.sites if name not in whole}
        if len(self.sites) > 1 or auxiliary_sites(guide_trace):
            means = means_over_draws(guide, batch, plates, list(whole))
            placed = poutine.condition(model, data=inner | values)
            model_trace = poutine.trace(placed).get_trace(**fields_of(model, batch))
        priors = dict(random_sites(model_trace))
        for name, site in whole.items():
            if isinstance(model, IntegratedModel):
                log_prior = self._log_prior(model, batch, inner | values)
            else:
                log_prior = priors[name]["fn"].log_prob(values[name]).double()
            site.add_compared(log_prior.flatten(), means.get(name))

    def _log_prior(
        self, model: IntegratedModel, batch: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        """log p(z) of all latents together, ``(N,)`` float64.

        :param values: one draw of each, as the program has them.
        """
        assert self.plates is not None
        placed = {name: value.unsqueeze(0) for name, value in values.items()}
        return model.log_prior(placed, batch, 1, self.plates.particle_dim).squeeze(0).double()

    @property
    def only(self) -> SplitSite | None:
        """The latent site, where there is one and its posterior can be asked about any draw."""
        if len(self.sites) != 1:
            return None
        (site,) = self.sites.values()
        return site if site.is_plain else None

    def joint(self, model: nn.Module, guide: nn.Module) -> JointLatents | None:
        """All latents together, where there are several, each with one posterior a sentence."""
        if len(self.sites) < 2 or not all(site.is_plain for site in self.sites.values()):
            return None
        assert self.plates is not None
        return JointLatents(model, guide, self.batches, self.plates)

    def draw_jointly(self, joint: JointLatents, num_draws: int) -> LatentDraws:
        """Draw all of them for every sentence, and score them under the prior."""
        z, log_prior = joint.draw(num_draws)
        return LatentDraws(
            z=z,
            sentence=torch.arange(self.num_sentences, device=z.device).repeat_interleave(num_draws),
            log_prior=log_prior,
            shared_prior=all(site.shared_prior for site in self.sites.values()),
            factorised_prior=False,
            closed_forms={} if joint.dependent else self._entropy(),
        )

    def given_source(self, model: nn.Module, guide: nn.Module) -> InformationGivenSource | None:
        """What they know of a text beyond its source, where the prior differs between sources.

        None where it does not, or a posterior scores its own draws alone.
        """
        sites = self.sites.values()
        if all(site.shared_prior for site in sites) or not all(site.is_plain for site in sites):
            return None
        if not self.batches or not takes_condition(model, self.batches[0]):
            return None
        assert self.plates is not None
        try:
            return information_given_source(model, guide, self.batches, self.plates)
        except NoDensityError:
            return None

    def _entropy(self) -> dict[str, Tensor]:
        """Of all sites together, where none depends on another and each has a formula."""
        parts = [site.closed_forms().get("entropy") for site in self.sites.values()]
        known = [part for part in parts if part is not None]
        return {"entropy": torch.stack(known).sum(0)} if len(known) == len(parts) else {}


class SplitSite:
    """One latent site of a split; every list has one entry for each batch."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.posteriors: list[Any] = []
        self.priors: list[Any] = []
        self.is_plain = True
        """Whether each sentence has one posterior, whole: no mask, no second plate."""
        self.is_made_of_others = False
        """Whether the guide makes the latent of auxiliary sites: it has no density of its own then,
        and ``kl`` is this site's part of what all have together."""
        self.inner_plates: list[str] = []
        """The plates inside ``"data"`` that the site is in: a sentence has several draws then."""
        self.is_costly = False
        """Whether the density of a sentence's posterior at another's draw is slow to find."""
        self.has_closed_form = True
        """Whether ``kl`` is in closed form; otherwise it is estimated from one draw."""
        self.reference: Tensor | None = None
        """A value of z, ``(*event)``, at which the priors of all sentences are compared."""
        self._log_prior_there: list[Tensor] = []
        self._means: list[PosteriorMeans | None] = []
        self._kl: list[Tensor] = []
        self._kl_per_dimension: list[Tensor | None] = []

    def add(
        self, model_trace: Trace, guide_trace: Trace, log_prior_of_all: Tensor | None = None
    ) -> None:
        """Take in a batch.

        :param log_prior_of_all: of the draws of all latents together, ``(N,)``, where the model has
            summed out others, and no site has one of its own.
        """
        priors = dict(random_sites(model_trace))
        posterior, prior = dict(random_sites(guide_trace))[self.name], priors[self.name]
        self.posteriors.append(posterior["fn"])
        self.priors.append(prior["fn"])
        frames = frames_in_data(self.name, posterior)
        self.inner_plates = [name for name in frames if name != DATA_PLATE]
        masked = posterior["mask"] is not None or prior["mask"] is not None
        self.is_plain &= not masked and len(posterior["fn"].batch_shape) == 1
        auxiliary = auxiliary_sites(guide_trace)
        self.is_made_of_others |= bool(auxiliary)
        self.is_plain &= not auxiliary
        self.is_costly |= isinstance(posterior["fn"], ConditionedFlow)
        kl = None
        if log_prior_of_all is None:
            kl = closed_form_kl(model_trace, guide_trace).get(self.name)
        if kl is None:
            self.has_closed_form = False
            value = posterior["value"]
            kl = by_datum(self.name, posterior, posterior["fn"].log_prob(value))
            if log_prior_of_all is None:
                kl = kl - by_datum(self.name, prior, prior["fn"].log_prob(value))
            else:
                kl = kl - log_prior_of_all / len(latent_sites(guide_trace))
            for name, site in auxiliary:
                of_all = by_datum(name, site, site["fn"].log_prob(site["value"]))
                kl = kl + of_all / len(latent_sites(guide_trace))
        self._kl.append(kl.squeeze(0).double())
        per_dimension = None
        if self.has_closed_form and self.is_plain:
            per_dimension = _kl_per_dimension(posterior["fn"], prior["fn"])
        self._kl_per_dimension.append(per_dimension)

    def add_compared(self, log_prior_there: Tensor, means: PosteriorMeans | None) -> None:
        """Take in what :class:`SplitLatents` finds of the batch that was added last.

        :param log_prior_there: of each sentence's prior at ``reference``, ``(N_b,)`` float64.
        :param means: of the posteriors; None where they depend on the sentence alone.
        """
        self._log_prior_there.append(log_prior_there)
        self._means.append(means)

    @property
    def shared_prior(self) -> bool:
        """Whether every sentence has the same prior, where the latents before it are the same."""
        if self.reference is None:
            return False
        there = torch.cat(self._log_prior_there)
        rounding = resolution_of(self.reference) * there.abs().max().clamp(min=1.0)
        return bool(there.max() - there.min() <= rounding)

    def unit_variance(self) -> Tensor:
        """Variance over the sentences of the mean of each dimension, ``(D,)`` float64.

        Less the noise of means that are estimated from draws. NaN where there is no such mean: of a
        label, or of a site in a plate inside ``"data"``.
        """
        if self.reference is None:
            return torch.full((self.posteriors[0].event_shape.numel(),), torch.nan).double()
        means = [
            means_of(posterior) if part is None else part
            for posterior, part in zip(self.posteriors, self._means, strict=True)
        ]
        mean = torch.cat([part.mean for part in means])
        noise = torch.cat([part.spread for part in means]).mean(0) / means[0].num_draws
        variance = mean.var(0, correction=0)
        return torch.where(noise > 0, (variance - noise).clamp(min=0), variance).cpu()

    @property
    def kl(self) -> Tensor:
        """KL(q(z | x), p(z)) of each sentence, ``(N,)`` float64; see ``has_closed_form``."""
        return torch.cat(self._kl)

    @property
    def kl_per_dimension(self) -> Tensor | None:
        """Its terms ``(N, D)``, where both sides are products with a closed form."""
        parts = [part for part in self._kl_per_dimension if part is not None]
        return torch.cat(parts) if len(parts) == len(self._kl_per_dimension) else None

    def draw(self, num_draws: int) -> LatentDraws:
        """Draw z for every sentence, and score it under the prior."""
        values, log_priors = [], []
        for posterior, prior in zip(self.posteriors, self.priors, strict=True):
            z = posterior.sample((num_draws,))
            values.append(z)
            log_priors.append(prior.log_prob(z).double())
        z = _by_sentence(values)
        count = len(z) // num_draws
        return LatentDraws(
            z=z,
            sentence=torch.arange(count, device=z.device).repeat_interleave(num_draws),
            log_prior=_by_sentence(log_priors),
            shared_prior=self.shared_prior,
            factorised_prior=all(independent_factors(prior) is not None for prior in self.priors),
            closed_forms=self.closed_forms(),
        )

    def closed_forms(self) -> dict[str, Tensor]:
        """KL to the prior and entropy of each posterior, ``(N,)``, where they have formulas."""
        closed_forms = {"KL": self.kl} if self.has_closed_form else {}
        try:
            entropy = [posterior.entropy().double() for posterior in self.posteriors]
        except NotImplementedError:
            return closed_forms
        return closed_forms | {"entropy": torch.cat(entropy)}


def _by_sentence(parts: list[Tensor]) -> Tensor:
    """``(K, N_b, ...)`` of each batch to ``(N K, ...)``, the draws of a sentence together."""
    return torch.cat(parts, 1).transpose(0, 1).flatten(0, 1)


def _kl_per_dimension(posterior: Any, prior: Any) -> Tensor | None:
    of_posterior, of_prior = independent_factors(posterior), independent_factors(prior)
    if of_posterior is None or of_prior is None:
        return None
    try:
        return kl_divergence(of_posterior, of_prior).double()
    except NotImplementedError:
        return None
