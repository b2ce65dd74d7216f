# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Summaries: the text at what the parts of a group have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.decoding import encode
from pyro_textvae.generation.documents import with_every_place
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.method import DecodingMethod
from pyro_textvae.generation.sampling import generate
from pyro_textvae.infer.simulate import name_of
from pyro_textvae.nn.number_of_sentences import NUMBER_SITE


def why_no_summaries(model: nn.Module) -> str | None:
    """Why a model writes no summaries; None where it does."""
    if callable(getattr(model, "summary_latent", None)):
        return None
    return f"{name_of(model)} has no summary_latent, the latent of a summary: review_group_vae has"


def generate_summaries(
    model: nn.Module,
    guide: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    method: str | DecodingMethod = "greedy",
    seed: int = 0,
    constraints: Constraints | None = None,
) -> Generated:
    """One sentence for each group of a batch: the text at the mean of its parts, given its vector.

    The vector of the group is its posterior mean, the latent of a part ``model.summary_latent`` of
    that, E[z | c]: what is of one part alone is left out.

    >>> from pyro_textvae.guides import DocumentGuide
    >>> from pyro_textvae.models import ReviewGroupVAE
    >>> from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    >>> decoder = GRUDecoder(**sizes, latent_dim=3, max_length=6)
    >>> model = ReviewGroupVAE(StandardNormal(3), decoder, latent_dim=3, max_sentences=4)
    >>> guide = DocumentGuide(BagOfWordsEncoder(**sizes), latent_dim=3, ordered=False)
    >>> reviews = {"tokens": torch.tensor([[[4, 5, 2], [6, 2, 0]], [[4, 2, 0], [0, 0, 0]]])}
    >>> generate_summaries(model, guide, reviews).tokens.shape
    torch.Size([2, 6])

    Source: Bražinskas et al. (2020), Unsupervised Opinion Summarization as Copycat-Review
    Generation, https://aclanthology.org/2020.acl-main.461/, section 3.3.

    :param batch: groups, ``tokens`` ``(N, S, T)``.
    :param others: as in :func:`~pyro_textvae.generation.generate`.
    :raises UserError: for a model without ``summary_latent``, and as ``generate``.
    """
    if reason := why_no_summaries(model):
        raise UserError(reason)
    summary_latent: Callable[[Tensor], Tensor] = model.summary_latent  # type: ignore[assignment]
    whole = encode(guide, with_every_place(model, batch))["z_whole"]
    with torch.no_grad():
        z = summary_latent(whole)
    number = torch.zeros(len(whole), 1, dtype=torch.long, device=whole.device)
    places = int(model.max_sentences)  # type: ignore[arg-type]
    latents = {
        "z_whole": whole,
        "z": z.expand(-1, places, -1),
        # Less one: a document of one sentence.
        NUMBER_SITE: number,
    }
    rows = {name: value for name, value in batch.items() if name != TOKENS} or len(whole)
    written = generate(
        model, rows, method=method, seed=seed, constraints=constraints, latents=latents
    )
    return written.map(lambda part: part[:, 0])
