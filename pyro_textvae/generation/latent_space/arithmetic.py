# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences decoded at a - b + c."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.distributions.independent_blocks import IndependentBlocks
from pyro_textvae.distributions.sphere import lies_on_sphere, unit_vector
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.sentences import batch_of, single_sentences
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.method import DecodingMethod
from pyro_textvae.generation.posteriors import is_discrete, posterior_point, posterior_sites
from pyro_textvae.generation.rows import data_dim
from pyro_textvae.generation.sampling import generate
from pyro_textvae.infer.batches import check_text
from pyro_textvae.infer.running import evaluation_mode


def arithmetic(
    model: nn.Module,
    guide: nn.Module,
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    c: Mapping[str, Tensor],
    *,
    method: str | DecodingMethod = "greedy",
    seed: int = 0,
    constraints: Constraints | None = None,
) -> Generated:
    r"""Decode what a has and b has not, added to c.

    .. math::
        z = \mu(a) - \mu(b) + \mu(c)

    On a sphere the sum of the mean directions is scaled to length 1 again. A model that is
    conditioned on further fields, such as ``source``, is given those of c. So is a discrete latent,
    such as a label, which takes no sums: it is the likeliest of c.

    Source: Mikolov et al. (2013), Linguistic Regularities in Continuous Space Word Representations,
    https://aclanthology.org/N13-1090/, for words; Shen et al. (2020), Educating Text Autoencoders,
    section 5, https://arxiv.org/abs/1905.12777, for sentences.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> a, b, c = ({"tokens": torch.tensor([[word, 2]])} for word in (4, 5, 6))
    >>> arithmetic(model, guide, a, b, c).tokens.shape
    torch.Size([1, 7])

    :param a, b, c: batches of as many sentences each.
    :param method, constraints: as in :func:`~pyro_textvae.generation.generate`.
    :returns: a sentence for each three.
    :raises ValueError: for batches of different sizes.
    :raises UserError: for a guide without a latent, and for one with discrete ones alone.
    """
    sizes = []
    for batch in (a, b, c):
        check_text(batch)
        sizes.append(len(batch["tokens"]))
    if len(set(sizes)) > 1:
        raise ValueError(f"a, b and c must have as many sentences each, got {sizes}")
    joined = batch_of([row for batch in (a, b, c) for row in single_sentences(batch)])
    with evaluation_mode(guide, guide, seed):
        sites, shared = posterior_sites(guide, joined, mean=True)
        _check_sums(sites)
        latents = {name: _sum(site["fn"], data_dim(site)) for name, site in sites} | shared
    return generate(
        model, dict(c), method=method, seed=seed, constraints=constraints, latents=latents
    )


def _check_sums(sites: Sequence[tuple[str, Any]]) -> None:
    if all(is_discrete(site["fn"]) for _, site in sites):
        name, _ = sites[0]
        raise UserError(
            f"the latent {name!r} is discrete, and its values cannot be added: use a model with a "
            "latent that is a vector of real numbers"
        )


def _sum(fn: Any, dim: int) -> Tensor:
    if isinstance(fn, IndependentBlocks):
        return torch.cat([_sum(block, dim) for block in fn.blocks], -1)
    a, b, c = posterior_point(fn).chunk(3, dim)
    if is_discrete(fn):
        return c
    total = a - b + c
    return unit_vector(total) if lies_on_sphere(fn) else total
