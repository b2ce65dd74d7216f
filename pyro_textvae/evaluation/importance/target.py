# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every estimate of log p(x) integrates: the joint density, as a function of the latents."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_textvae.contract import PARTICLE_PLATE, TOKENS
from pyro_textvae.evaluation.enumeration.integrated_model import IntegratedModel
from pyro_textvae.evaluation.importance.pieces import alike_in_length
from pyro_textvae.evaluation.importance.resolution import Resolution
from pyro_textvae.infer.plates import Plates, find_plates
from pyro_textvae.infer.running import device_of, to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import random_sites
from pyro_textvae.infer.terms import by_datum
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.frozen import frozen
from pyro_textvae.nn.plain_kernels import plain_kernels

Latents = Mapping[str, Tensor]
"""Values of the latent sites by name, each ``(K, N, *inner, *event)``: K draws for each of N
sentences, and ``inner`` the sizes of the plates inside ``"data"`` that the site is in."""

_TOKENS_ON_CPU = 16384
_SCORES_ON_CPU = 2**22
_FEWEST_TOKENS = 256
_BYTES_PER_TOKEN = 2**16
# The logits of every token are kept for the backward pass, not those of a chunk at a time.
_GRADIENT_SHARE = 8


class JointLogProb(NamedTuple):
    """log p(x | z) and log p(z) of every draw, nats, ``(K, N)``, in the precision of the model."""

    log_likelihood: Tensor
    log_prior: Tensor

    @property
    def total(self) -> Tensor:
        """log p(x, z)."""
        return self.log_likelihood + self.log_prior


class Target:
    """log p(x, z) of the sentences of a batch, for any model that keeps the contract.

    The model is run with its latents fixed, draws and sentences together, never more than
    ``max_tokens`` tokens at once (padding counted; an eighth of that where a gradient is asked
    for), so memory does not grow with the number of draws. What is too much for one run is cut
    into sentences of like length, without the padding that they do not need.

    Latents that a model alone has, see :class:`IntegratedModel`, are summed out for every draw.

    :param batch: the keywords of a call of the model, the batch first.
    :param plates: where the plates of model and guide stand; by default those of the model.
    :param resolution: what looks at the draws that are scored without a gradient.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Mapping[str, Tensor],
        *,
        max_tokens: int = 16384,
        plates: Plates | None = None,
        resolution: Resolution | None = None,
    ) -> None:
        self.model = model
        self.batch = to_device(batch, model)
        self.max_tokens = max_tokens
        self.resolution = resolution
        self.plates = plates or find_plates(model, model, (), self.batch)
        self.num_sentences = len(self.batch[TOKENS])
        self.costs = torch.zeros(self.num_sentences, dtype=torch.long)
        """Decoder evaluations so far of each sentence: draws that it was scored under, a gradient
        counted as three, since a backward pass costs two forward passes."""
        self._counted_in: tuple[Target, Tensor] | None = None

    @property
    def evaluations(self) -> int:
        """Decoder evaluations so far of all sentences."""
        return int(self.costs.sum())

    def __call__(self, latents: Latents) -> JointLogProb:
        """Score every draw, without gradients; ``(K, N)``."""
        if self.resolution is not None:
            self.resolution.look(latents)
        with torch.no_grad():
            return self._chunked(latents, self.max_tokens, self._score)

    def exact(self) -> Tensor:
        """log p(x) ``(N,)`` of a model without latents, from one pass."""
        empty = {"": torch.zeros(1, self.num_sentences, device=device_of(self.model))}
        return self(empty).log_likelihood.squeeze(0)

    def rows(self, chosen: Tensor) -> Target:
        """The target of some of the sentences, its evaluations counted from zero."""
        batch = {name: value[chosen] for name, value in self.batch.items()}
        return Target(self.model, batch, max_tokens=self.max_tokens, plates=self.plates)

    def part(self, chosen: Tensor) -> Target:
        """The target of some of the sentences, its evaluations counted in this one's."""
        part = self.rows(chosen)
        part._counted_in = (self, chosen)
        return part

    def gradient(self, latents: Latents) -> tuple[Tensor, dict[str, Tensor]]:
        """log p(x, z) ``(K, N)`` and its gradient with respect to every latent, shaped like it."""
        names = list(latents)

        def differentiate(part: Latents, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
            leaves = {name: value.detach().requires_grad_() for name, value in part.items()}
            with frozen(self.model.parameters()), torch.enable_grad(), plain_kernels():
                total = self._score(leaves, batch).total
                grads = torch.autograd.grad(total.sum(), list(leaves.values()))
            return total.detach(), *grads

        budget = max(1, self.max_tokens // _GRADIENT_SHARE)
        total, *grads = self._chunked(latents, budget, differentiate)
        self._count(2 * len(total) * self._texts(latents))
        return total, dict(zip(names, grads, strict=True))

    def gradients(
        self, latents: Latents, names: Collection[str]
    ) -> tuple[JointLogProb, dict[str, Tensor], dict[str, Tensor]]:
        """Score every draw, with the gradients of log p(x | z) and of log p(z) apart.

        :param names: of the latents that the gradients are with respect to; each has two tensors
            shaped like it.
        """

        def differentiate(part: Latents, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
            leaves = {name: part[name].detach().requires_grad_() for name in names}
            with frozen(self.model.parameters()), torch.enable_grad(), plain_kernels():
                joint = self._score({**part, **leaves}, batch)
                of_prior = gradients_of(joint.log_prior, leaves, retain_graph=True)
                of_likelihood = gradients_of(joint.log_likelihood, leaves)
            scores = (score.detach() for score in joint)
            return *scores, *of_likelihood.values(), *of_prior.values()

        budget = max(1, self.max_tokens // _GRADIENT_SHARE)
        log_likelihood, log_prior, *rest = self._chunked(latents, budget, differentiate)
        self._count(2 * len(log_prior) * self._texts(latents))
        of_likelihood, of_prior = (
            dict(zip(names, half, strict=True)) for half in (rest[: len(names)], rest[len(names) :])
        )
        return JointLogProb(log_likelihood, log_prior), of_likelihood, of_prior

    def _chunked(
        self, latents: Latents, max_tokens: int, function: Callable[..., tuple[Tensor, ...]]
    ) -> Any:
        """Apply ``function`` to pieces within the budget, and put its results together again."""
        num_draws = len(next(iter(latents.values())))
        columns = []
        kind: Any = tuple
        pieces = alike_in_length(self.batch, latents, num_draws, max_tokens)
        for rows, batch in pieces:
            chosen = latents
            if len(pieces) > 1:
                index = rows.to(next(iter(latents.values())).device)
                chosen = {name: value.index_select(1, index) for name, value in latents.items()}
            size = batch[TOKENS].numel() * self._texts(latents)
            parts = []
            for draws in _pieces(num_draws, max(1, max_tokens // max(size, 1))):
                part = {name: value[draws] for name, value in chosen.items()}
                parts.append(function(part, batch))
            kind = type(parts[0])
            columns.append([torch.cat(values) for values in zip(*parts, strict=True)])
        results = [torch.cat(values, 1) for values in zip(*columns, strict=True)]
        if len(pieces) > 1:
            order = torch.cat([rows for rows, _ in pieces]).argsort()
            results = [values[:, order] for values in results]
        self._count(num_draws * self._texts(latents))
        return kind(results) if kind is tuple else kind(*results)

    def _count(self, number: int, rows: Tensor | slice = slice(None)) -> None:
        self.costs[rows] += number
        if self._counted_in is not None:
            whole, chosen = self._counted_in
            whole._count(number, chosen[rows])

    def _texts(self, latents: Latents) -> int:
        """How many texts are scored for each draw: several where the model has latents of its own
        that are summed out.
        """
        if not isinstance(self.model, IntegratedModel):
            return 1
        values = {n: self.plates.as_in_program(n, value[:1]) for n, value in latents.items() if n}
        return self.model.texts(values, self.batch, self.plates.particle_dim)

    def _score(self, latents: Latents, batch: Mapping[str, Tensor]) -> JointLogProb:
        num_draws = len(next(iter(latents.values())))
        values = {n: self.plates.as_in_program(n, value) for n, value in latents.items()}
        if isinstance(self.model, IntegratedModel):
            dim = self.plates.particle_dim
            total, log_prior = self.model.log_joint(values, batch, num_draws, dim)
            of_all = (num_draws, len(batch[TOKENS]))
            return JointLogProb((total - log_prior).expand(of_all), log_prior.expand(of_all))
        program = poutine.condition(self.model, data=values)
        with pyro.plate(PARTICLE_PLATE, num_draws, dim=self.plates.particle_dim):
            trace = poutine.trace(program).get_trace(**fields_of(self.model, batch))
        trace.compute_log_prob()
        shape = (num_draws, len(batch[TOKENS]))
        device = next(iter(latents.values())).device
        log_likelihood = log_prior = torch.zeros((), device=device)
        for name, site in random_sites(trace):
            log_prob = by_datum(name, site, site["unscaled_log_prob"])
            if name in latents:
                log_prior = log_prior + log_prob
            elif site["is_observed"]:
                log_likelihood = log_likelihood + log_prob
            else:
                raise ValueError(
                    f"latent site {name!r} of the model is not drawn by the guide: give the guide "
                    "a sample site of that name"
                )
        return JointLogProb(log_likelihood.expand(shape), log_prior.expand(shape))


def gradients_of(
    values: Tensor, leaves: Latents, *, retain_graph: bool = False
) -> dict[str, Tensor]:
    """Gradients of a sum with respect to every leaf; zero for one that it does not depend on."""
    if not values.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    gradients = torch.autograd.grad(
        values.sum(),
        list(leaves.values()),
        retain_graph=retain_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return dict(zip(leaves, gradients, strict=True))


def suitable_tokens(model: nn.Module) -> int:
    """The number of tokens at once that keeps the model's device busy within its memory.

    On a CPU fewer for a network with a ``vocab_size`` that does not derive from our ``Decoder``: it
    may hold the scores of the whole vocabulary for all of them, and beyond the processor's cache
    that takes twice as long.
    """
    device = device_of(model)
    if device.type != "cuda":
        others = (module for module in model.modules() if not isinstance(module, Decoder))
        sizes = (getattr(module, "vocab_size", None) for module in others)
        largest = max((size for size in sizes if isinstance(size, int)), default=1)
        return min(_TOKENS_ON_CPU, max(_FEWEST_TOKENS, _SCORES_ON_CPU // max(largest, 1)))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    sharing = -(-processes // torch.cuda.device_count())
    return torch.cuda.get_device_properties(device).total_memory // _BYTES_PER_TOKEN // sharing


def _pieces(count: int, most: int) -> Iterator[slice]:
    """As few pieces as may be, of equal size."""
    size = -(-count // -(-count // most))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
