# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences decoded along a direction of the latent space, through a sentence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.distributions.sphere import lies_on_sphere, unit_vector
from pyro_textvae.errors import UserError
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.latent_space.one_site import one_site
from pyro_textvae.generation.method import DecodingMethod
from pyro_textvae.generation.posteriors import posterior_point, posterior_sites
from pyro_textvae.generation.rows import data_dim
from pyro_textvae.generation.sampling import generate
from pyro_textvae.infer.batches import check_text
from pyro_textvae.infer.running import evaluation_mode


def traverse(
    model: nn.Module,
    guide: nn.Module,
    batch: Mapping[str, Tensor],
    direction: Tensor | int,
    offsets: Tensor,
    *,
    site: str | None = None,
    method: str | DecodingMethod = "greedy",
    seed: int = 0,
    constraints: Constraints | None = None,
) -> Generated:
    r"""Decode a sentence's latent moved by every offset along a direction.

    .. math::
        z_t = \mu(x) + t v

    On a sphere the way is the great circle that leaves in the direction's part along the sphere,
    by angles of t times its length. All other latents stay where they are.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> batch = {"tokens": torch.tensor([[4, 5, 2]])}
    >>> traverse(model, guide, batch, 0, torch.linspace(-2, 2, 5)).tokens.shape
    torch.Size([5, 7])

    :param batch: one sentence, and whatever model and guide need besides.
    :param direction: v ``(D,)``, such as that of :func:`label_direction`, or the number of a
        dimension, whose unit vector is meant.
    :param offsets: t ``(S,)``.
    :param site: of the latent; by default the only one that is a vector of real numbers.
    :param method, constraints: as in :func:`~pyro_textvae.generation.generate`.
    :returns: a sentence for each offset.
    :raises ValueError: for another number of sentences than one.
    :raises UserError: for a dimension that there is not, a direction of another size or of length
        zero, and for latents that leave open which is meant.
    """
    latents = moved_latents(guide, batch, direction, offsets, site=site, seed=seed)
    rows = {n: value.expand(len(offsets), *value.shape[1:]) for n, value in batch.items()}
    return generate(model, rows, method=method, seed=seed, constraints=constraints, latents=latents)


def moved_latents(
    guide: nn.Module,
    batch: Mapping[str, Tensor],
    direction: Tensor | int,
    offsets: Tensor,
    *,
    site: str | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """The latents that :func:`traverse` decodes, by site, global ones too.

    :param others: as in :func:`traverse`.
    :raises ValueError: as :func:`traverse`.
    :raises UserError: as :func:`traverse`.
    """
    check_text(batch)
    if len(batch[TOKENS]) != 1:
        raise ValueError(f"a walk begins at one sentence, got {len(batch[TOKENS])}")
    with evaluation_mode(guide, guide, seed):
        sites, shared = posterior_sites(guide, batch, mean=True)
        name, moved = one_site(sites, site)
        latents = {each: _repeated(each, node, len(offsets)) for each, node in sites} | shared
        start = posterior_point(moved["fn"])
        vector = direction_of(direction, start)
        share = offsets.to(start).reshape(-1, *[1] * start.dim())
        on_sphere = lies_on_sphere(moved["fn"])
        walk = _on_sphere(start, vector, share) if on_sphere else start + share * vector
        latents[name] = walk.squeeze(data_dim(moved)).movedim(0, data_dim(moved))
    return latents


def direction_of(direction: Tensor | int, start: Tensor) -> Tensor:
    """The vector that is meant, ``(D,)``, like ``start`` ``(..., D)``.

    :raises UserError: as :func:`traverse`.
    """
    size = start.shape[-1]
    if isinstance(direction, int):
        if not 0 <= direction < size:
            raise UserError(
                f"dimension must lie in [0, {size}), for the latent has {size}, got {direction}"
            )
        vector = start.new_zeros(size)
        vector[direction] = 1.0
        return vector
    if direction.shape != (size,):
        raise UserError(
            f"the direction must have {size} numbers, as the latent has, got shape "
            f"{tuple(direction.shape)}"
        )
    if not direction.isfinite().all() or not direction.any():
        raise UserError("the direction must be finite and not zero: it leads nowhere")
    return direction.to(start)


def _on_sphere(start: Tensor, vector: Tensor, share: Tensor) -> Tensor:
    along = vector - (vector * start).sum(-1, keepdim=True) * start
    angle = share * along.norm(dim=-1, keepdim=True)
    return unit_vector(angle.cos() * start + angle.sin() * unit_vector(along))


def _repeated(name: str, node: object, times: int) -> Tensor:
    assert isinstance(node, dict)
    point = posterior_point(node["fn"])
    return torch.cat([point] * times, data_dim(node))
