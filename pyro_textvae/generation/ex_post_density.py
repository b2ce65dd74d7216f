# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A density fitted to the aggregate posterior after training, to sample from in the prior's place.

Where the prior and the aggregate posterior differ, as they do after every training that weighs the
KL by less than one, the prior draws latents that no sentence has, and decoders write badly there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from torch import Tensor, nn

from pyro_textvae.displayed import Displayed
from pyro_textvae.distributions.fitted_gaussians import fitted_gaussians
from pyro_textvae.distributions.mixture import Mixture
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.importance.latent_vector import LatentVector
from pyro_textvae.evaluation.latents.elbo_surgery import LatentDraws
from pyro_textvae.evaluation.latents.split_latents import SplitLatents
from pyro_textvae.evaluation.over_globals import given_one_draw
from pyro_textvae.infer.running import device_of, evaluation_mode
from pyro_textvae.infer.supports import support_of

Batches = Iterable[Mapping[str, Tensor]]


@dataclass(frozen=True, repr=False)
class ExPostDensity(Displayed):
    """A mixture fitted to one draw of z for each sentence, and how well it fits others.

    site
        The latent site that it is of; of several, their names with commas between.
    mixture
        Gaussians of full covariance, float64, over all of them as one vector.
    log_density, log_prior
        Mean log-density of one draw of z for each held-out sentence, under the mixture and under
        the model's prior; nats per sentence.
    gain, gain_standard_error
        How much higher the first is, on the same draws, and its error over the held-out sentences.
    num_sentences, num_held_out
        Sentences fitted to, and held out.
    num_not_finite
        Held-out sentences left out of the means, as one of their densities is not finite.
    """

    site: str
    mixture: Mixture
    log_density: float
    log_prior: float
    gain: float
    gain_standard_error: float
    num_sentences: int
    num_held_out: int
    num_not_finite: int = 0
    vector: LatentVector | None = None
    """How several sites stand in the vector."""

    def latents(self, model: nn.Module, size: int, *, seed: int = 0) -> dict[str, Tensor]:
        """Draws ``(size, *event)`` for :func:`pyro_textvae.generation.sample`, by site name."""
        with evaluation_mode(model, model, seed):
            drawn = self.mixture.sample((size,))
        tensors = chain(model.parameters(), model.buffers())
        dtype = next((t.dtype for t in tensors if t.is_floating_point()), drawn.dtype)
        drawn = drawn.to(device_of(model), dtype)
        if self.vector is None:
            return {self.site: drawn}
        apart = self.vector.apart(drawn.unsqueeze(0))
        return {name: value.squeeze(0) for name, value in apart.items()}

    def describe(self) -> str:
        """What it is and what it changes, in one line."""
        components = len(self.mixture.log_weights)
        fitted = f"{components} Gaussians fitted to {self.num_sentences:,} latents; "
        if self.num_not_finite == self.num_held_out:
            return (
                f"{fitted}warning: none of {self.num_held_out:,} held-out latents has a finite "
                "density under them and under the prior, so nothing is known of the fit"
            )
        left_out = (
            f"; warning: {self.num_not_finite:,} of them left out, whose density is not finite"
            if self.num_not_finite
            else ""
        )
        return (
            f"{fitted}{self.num_held_out:,} held-out latents: log-density "
            f"{self.log_density:.3f} under them, {self.log_prior:.3f} under the prior, "
            f"{self.gain:+.3f} +- {self.gain_standard_error:.3f} nats per sentence{left_out}"
        )


def fit_ex_post_density(
    model: nn.Module,
    guide: nn.Module,
    batches: Batches,
    held_out: Batches,
    *,
    num_components: int = 10,
    seed: int = 0,
) -> ExPostDensity:
    r"""Fit a mixture of Gaussians to the aggregate posterior, by expectation maximisation.

    Of several latents to all of them together, whatever they depend on.

    .. math::
        \frac{1}{N} \sum_n q(z \mid x_n) \approx
        \sum_c \pi_c \, \mathcal{N}(z; \mu_c, \Sigma_c)

    Source: Ghosh et al. (2020), section 4, https://arxiv.org/abs/1903.12436.

    >>> import torch
    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> batches = [{"tokens": torch.tensor([[4, 5, 2], [6, 2, 0], [7, 4, 2]])}]
    >>> density = fit_ex_post_density(model, guide, batches, batches, num_components=1)
    >>> density.latents(model, 5)["z"].shape
    torch.Size([5, 2])

    :param batches: what it is fitted to, as a rule the training split.
    :param held_out: what its fit is measured on.
    :raises UserError: for a pair with any latent but real numbers, or with none, fewer sentences
        than components or than two, and where scikit-learn is missing.
    :raises ValueError: for a number of components below 1.
    """
    if num_components < 1:
        raise ValueError(f"num_components must be at least 1, got {num_components}")
    with evaluation_mode(model, guide, seed):
        site, vector, fitted = _draw(model, guide, batches, seed)
        _, _, unseen = _draw(model, guide, held_out, seed)
        if len(fitted.z) < num_components:
            raise UserError(
                f"{num_components} components cannot be fitted to {len(fitted.z)} sentences: give "
                "a smaller number of components"
            )
        distinct = len(fitted.z.unique(dim=0))
        if distinct < num_components:
            raise UserError(
                f"the latents of {len(fitted.z)} sentences are {distinct} points in the precision "
                f"of the guide, and {num_components} components cannot be fitted to them: sample "
                "from the prior instead"
            )
        mixture = fitted_gaussians(fitted.z, num_components, "full", most_steps=500, seed=seed)
        log_density = mixture.log_prob(unseen.z.double().cpu())
    log_prior = unseen.log_prior.cpu()
    gains = log_density - log_prior
    finite = log_density.isfinite() & log_prior.isfinite()
    num_held_out = len(gains)
    log_density, log_prior, gains = log_density[finite], log_prior[finite], gains[finite]
    return ExPostDensity(
        site=site,
        mixture=mixture,
        log_density=log_density.mean().item(),
        log_prior=log_prior.mean().item(),
        gain=gains.mean().item(),
        gain_standard_error=_error_of_mean(gains),
        num_sentences=len(fitted.z),
        num_held_out=num_held_out,
        num_not_finite=num_held_out - len(gains),
        vector=vector,
    )


def _error_of_mean(values: Tensor) -> float:
    """Standard error of the mean; NaN below two values."""
    if len(values) < 2:
        return math.nan
    return values.std().item() / math.sqrt(len(values))


def _draw(
    model: nn.Module, guide: nn.Module, batches: Batches, seed: int
) -> tuple[str, LatentVector | None, LatentDraws]:
    with given_one_draw(model, guide, batches, seed) as all_batches:
        latents = SplitLatents(model, guide, all_batches)
        only, joint = latents.only, latents.joint(model, guide)
        drawn_jointly = None if joint is None else latents.draw_jointly(joint, 1)
    instead = "sample from the prior instead"
    if latents.num_sentences < 2:
        raise UserError(
            f"a mixture needs at least 2 sentences, and as many held out, got "
            f"{latents.num_sentences}: {instead}"
        )
    sites = ", ".join(latents.sites)
    if only is None and joint is None:
        raise UserError(
            "a mixture is fitted to latents without a mask or a second plate, and the latents here "
            f"are {sites or 'none'}: {instead}"
        )
    for site in latents.sites.values():
        support = support_of(site.posteriors[0])
        if support != "Real":
            raise UserError(
                f"a mixture of Gaussians is fitted to real numbers, and the latent {site.name!r} "
                f"has support {support}: {instead}"
            )
    if joint is not None:
        shapes = {n: latents.sites[n].posteriors[0].event_shape for n in joint.names}
        assert drawn_jointly is not None
        return sites, LatentVector(shapes), drawn_jointly
    assert only is not None
    drawn, shape = only.draw(1), only.posteriors[0].event_shape
    if len(shape) == 1:
        return only.name, None, drawn
    vector = LatentVector({only.name: shape})
    z = vector.joined({only.name: drawn.z.unsqueeze(0)}).squeeze(0)
    return only.name, vector, replace(drawn, z=z)
