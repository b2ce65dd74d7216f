# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Weighted draws of the posterior of the latents, kept to be weighted anew."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.samplers import Block, GuideSampler, MixtureSampler
from pyro_textvae.evaluation.importance.target import Target, suitable_tokens
from pyro_textvae.evaluation.proposals import RefinedProposal
from pyro_textvae.infer.running import evaluation_mode


@dataclass(frozen=True, eq=False)
class PosteriorDraws:
    r"""K draws of the latent of each of N sentences, with what weighs them under any prior.

    .. math::
        p(x) \approx \frac 1 K \sum_k w_k, \qquad w_k = \frac{p(x \mid z_k) \, p(z_k)}{r(z_k)},
        \qquad z_k \sim r

    z
        ``(K, N, D)``.
    log_ratio
        log p(x | z) - log r(z), nats, float64 ``(K, N)``.
    log_prior
        log p(z) under the prior that they were drawn with, likewise.
    """

    z: Tensor
    log_ratio: Tensor
    log_prior: Tensor

    def log_px(self, log_prior: Tensor) -> Tensor:
        """The estimates of log p(x) under a prior, ``(N,)``.

        >>> zeros = torch.zeros(4, 2)
        >>> draws = PosteriorDraws(torch.zeros(4, 2, 3), zeros - 7, zeros)
        >>> draws.log_px(zeros - 1)
        tensor([-8., -8.])

        :param log_prior: log p(z) of every draw, ``(K, N)``.
        """
        log_weights = self.log_ratio + log_prior
        return log_weights.logsumexp(0) - math.log(len(log_weights))

    def resampled(self, number: int, generator: torch.Generator) -> Tensor:
        """Draws of the posterior of equal weight, ``(number * N, D)``, some more than once."""
        weights = (self.log_ratio + self.log_prior).softmax(0)
        rows = torch.multinomial(weights.T, number, replacement=True, generator=generator)
        columns = torch.arange(self.z.shape[1]).unsqueeze(1)
        return self.z[rows, columns].flatten(0, 1)

    @property
    def median_ess(self) -> float:
        """The median over the sentences of the effective number of draws."""
        weights = (self.log_ratio + self.log_prior).softmax(0)
        return float((1 / weights.square().sum(0)).median())


def posterior_draws(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    num_samples: int,
    seed: int = 0,
) -> PosteriorDraws:
    """Draws of z given each sentence, by the ``refined`` proposal under the model's own prior.

    By a guide alone the weights of a prior that it does not cover would fall on few draws, and
    what is fitted to these would be fitted to the guide's misfit.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> batches = [{"tokens": torch.tensor([[4, 5, 2], [6, 2, 0], [7, 4, 2]])}]
    >>> posterior_draws(model, guide, batches, 20).z.shape
    torch.Size([20, 3, 2])

    :param num_samples: of each sentence.
    :raises UserError: for other latents than one vector a sentence.
    """
    parts = []
    with evaluation_mode(model, guide, seed):
        for batch in batches:
            posteriors = Posteriors(model, guide, batch, seed)
            target = Target(
                model,
                batch,
                max_tokens=suitable_tokens(model),
                plates=posteriors.plates,
            )
            sampler = RefinedProposal().start(target, posteriors, num_samples)
            assert isinstance(sampler, GuideSampler | MixtureSampler)
            latents, scores = sampler.drawn(Block(0, num_samples, num_samples, 0, 0))
            parts.append(
                (
                    one_vector(latents).cpu(),
                    (scores.log_likelihood.double() - scores.log_proposal.double()).cpu(),
                    scores.log_prior.double().cpu(),
                )
            )
    return PosteriorDraws(*(torch.cat(column, 1) for column in zip(*parts, strict=True)))


def one_vector(latents: Mapping[str, Tensor]) -> Tensor:
    """The draws ``(K, N, D)`` of the one latent of a sentence.

    :raises UserError: for other latents than one vector a sentence.
    """
    z = next(iter(latents.values()))
    if len(latents) > 1 or z.dim() != 3:
        shapes = ", ".join(f"{n!r} {tuple(v.shape[2:])}" for n, v in latents.items())
        raise UserError(f"the latents are {shapes}, and a prior is fitted to one vector a sentence")
    return z
