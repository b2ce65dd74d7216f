# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences out of a model: from the prior, from sentences, and along a line between two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyro_textvae.contract import TEXT_SITE, TOKENS
from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.distributions.autoregressive_categorical import draw_class, likeliest_class
from pyro_textvae.distributions.independent_blocks import IndependentBlocks
from pyro_textvae.distributions.sphere import great_circle, lies_on_sphere, unit_vector
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.information import posterior_mean
from pyro_textvae.infer.running import device_of, evaluation_mode, to_device
from pyro_textvae.infer.simulate import simulate
from pyro_textvae.infer.sites import latent_sites
from pyro_textvae.special_tokens import FIRST_EMITTED, UNK

Method = Literal["ancestral", "greedy"]

_CHOICES = {"ancestral": draw_class, "greedy": likeliest_class}
_UNK_CLASS = UNK - FIRST_EMITTED


class _DecodingMessenger(Messenger):
    """Lets ``select`` choose every token of the sentences that a program generates."""

    def __init__(self, select: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.select = select

    def _pyro_sample(self, message: Any) -> None:
        if message["done"] or message["is_observed"]:
            return
        if isinstance(message["fn"], AutoregressiveCategorical):
            message["value"] = message["fn"].generate(self.select)
            message["done"] = True


def sample(
    model: nn.Module,
    size: int,
    *,
    method: Method = "ancestral",
    seed: int = 0,
    unknown: bool = True,
    latents: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Draw ``size`` sentences from the model, ids ``(size, max_length)``.

    :param method: ``"ancestral"`` draws every token, ``"greedy"`` takes the likeliest.
    :param unknown: whether ``<unk>`` may be generated. Without it every token is chosen among the
        others: no longer the model's own distribution, but easier to read.
    :param latents: values of latent sites, ``(size, ...)``; the others come from the prior.
    :raises ValueError: for a size below 1 or an unknown method.
    """
    if size < 1:
        raise ValueError(f"number of sentences must be at least 1, got {size}")
    if method not in _CHOICES:
        raise ValueError(f"method must be 'ancestral' or 'greedy', got {method!r}")

    def select(scores: Tensor) -> Tensor:
        if not unknown:
            scores = scores.index_fill(-1, scores.new_tensor([_UNK_CLASS]).long(), -torch.inf)
        return _CHOICES[method](scores)

    with (
        evaluation_mode(model, model, seed),
        poutine.condition(data=dict(latents or {})),
        _DecodingMessenger(select),
    ):
        nodes: Any = simulate(model, size).nodes
    return nodes[TEXT_SITE]["value"]


def encode(
    guide: nn.Module, batch: Mapping[str, Tensor], *, mean: bool = True, seed: int = 0
) -> dict[str, Tensor]:
    """Latents of the sentences of a batch: posterior means, see :func:`posterior_point`, or draws.

    :raises UserError: when the guide has no latent.
    """
    with evaluation_mode(guide, guide, seed):
        sites = _latent_sites(guide, batch)
        return {n: posterior_point(site["fn"]) if mean else site["value"] for n, site in sites}


def posterior_point(fn: Any) -> Tensor:
    """The one latent that stands for a posterior: its mean, on a sphere its mean direction.

    ``batch_shape + event_shape``. The mean over a sphere lies inside it, where no decoder was
    trained; a discrete latent is at its likeliest value, for it takes no value between.
    """
    if _is_discrete(fn):
        return fn.mode
    if isinstance(fn, IndependentBlocks):
        return torch.cat([posterior_point(block) for block in fn.blocks], -1)
    mean = posterior_mean(fn)
    return unit_vector(mean) if lies_on_sphere(fn) else mean


def reconstruct(
    model: nn.Module,
    guide: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    method: Method = "greedy",
    seed: int = 0,
    unknown: bool = True,
) -> Tensor:
    """Decode each sentence again from its latent, ids ``(N, max_length)``.

    With ``"greedy"`` the latent is the :func:`posterior_point`; with ``"ancestral"`` a draw.
    """
    latents = encode(guide, batch, mean=method == "greedy", seed=seed)
    return sample(
        model, len(batch[TOKENS]), method=method, seed=seed, unknown=unknown, latents=latents
    )


def interpolate(
    model: nn.Module,
    guide: nn.Module,
    ends: Mapping[str, Tensor],
    *,
    steps: int = 7,
    method: Method = "greedy",
    seed: int = 0,
    unknown: bool = True,
) -> Tensor:
    """Decode along the line between the latents of two sentences: on a sphere, the shorter arc.

    :param ends: a batch of two sentences.
    :param steps: points on the line, both ends counted.
    :returns: ids ``(steps, max_length)``.
    :raises ValueError: for fewer than two steps or another number of sentences.
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    if len(ends[TOKENS]) != 2:
        raise ValueError(f"interpolation needs two sentences, got {len(ends['tokens'])}")
    share = torch.linspace(0.0, 1.0, steps, device=device_of(model))
    with evaluation_mode(guide, guide, seed):
        line = {name: _line(site["fn"], share) for name, site in _latent_sites(guide, ends)}
    return sample(model, steps, method=method, seed=seed, unknown=unknown, latents=line)


def _latent_sites(guide: nn.Module, batch: Mapping[str, Tensor]) -> list[tuple[str, Any]]:
    sites = latent_sites(poutine.trace(guide).get_trace(**to_device(batch, guide)))
    if not sites:
        raise UserError(
            "the model has no latent, so there is nothing to encode: use a model with a latent"
        )
    return sites


def _line(fn: Any, share: Tensor) -> Tensor:
    """Points between the two posteriors of ``fn``, ``(len(share), *event_shape)``."""
    if isinstance(fn, IndependentBlocks):
        return torch.cat([_line(block, share) for block in fn.blocks], -1)
    start, end = posterior_point(fn)
    if lies_on_sphere(fn):
        return great_circle(start, end, share)
    if _is_discrete(fn):
        return torch.stack([start if weight < 0.5 else end for weight in share])
    return torch.stack([torch.lerp(start, end, weight) for weight in share])


def _is_discrete(fn: Any) -> bool:
    support = getattr(fn, "support", None)
    return support is not None and support.is_discrete
