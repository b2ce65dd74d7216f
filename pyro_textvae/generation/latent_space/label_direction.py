# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the sentences of one label have more of than those of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from pyro_textvae.contract import LABELS
from pyro_textvae.errors import UserError
from pyro_textvae.generation.latent_space.one_site import one_site
from pyro_textvae.generation.posteriors import posterior_point, posterior_sites
from pyro_textvae.generation.rows import data_dim
from pyro_textvae.infer.batches import check_batches
from pyro_textvae.infer.running import evaluation_mode


def label_direction(
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    start: int,
    end: int,
    *,
    site: str | None = None,
    seed: int = 0,
) -> Tensor:
    r"""From the mean of the latents of one label to that of another, ``(D,)``.

    .. math::
        v = \frac{1}{N_b} \sum_{n: y_n = b} \mu(x_n) - \frac{1}{N_a} \sum_{n: y_n = a} \mu(x_n)

    Source: White (2016), Sampling Generative Networks, section 3, https://arxiv.org/abs/1609.04468.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.nn import LSTMEncoder
    >>> guide = GaussianGuide(LSTMEncoder(vocab_size=9, embedding_dim=4, hidden_dim=5), 2)
    >>> batch = {"tokens": torch.tensor([[4, 2], [5, 2]]), "labels": torch.tensor([0, 1])}
    >>> label_direction(guide, [batch], 0, 1).shape
    torch.Size([2])

    :param batches: sentences with ``labels``.
    :param start, end: labels, as the batches have them.
    :param site: as in :func:`traverse`.
    :raises UserError: for batches without labels, and for a label that no sentence has.
    """
    check_batches(batches)
    totals: dict[int, Tensor] = {}
    counts = {start: 0, end: 0}
    with evaluation_mode(guide, guide, seed):
        for batch in batches:
            if LABELS not in batch:
                raise UserError(
                    "the sentences have no labels, between which a direction could lead: name "
                    "their column with --label-column (label_column= of load_corpus)"
                )
            sites, _ = posterior_sites(guide, batch, mean=True)
            _, node = one_site(sites, site)
            points = posterior_point(node["fn"]).movedim(data_dim(node), 0).flatten(0, -2).double()
            for label in counts:
                chosen = points[(batch[LABELS] == label).to(points.device)]
                counts[label] += len(chosen)
                totals[label] = totals.get(label, torch.zeros(())) + chosen.sum(0).cpu()
    for label, count in counts.items():
        if not count:
            raise UserError(f"no sentence has the label {label}: give one that occurs")
    return totals[end] / counts[end] - totals[start] / counts[start]
