# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents of sentences that are decoded again: their places, and what their text says."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pyro import poutine
from torch import Tensor, nn
from torch.nn.functional import pad

from pyro_textvae.contract import OF_TEXT, TOKENS
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import random_sites
from pyro_textvae.special_tokens import PAD


def with_every_place(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The batch with as many rows for each document as the model generates.

    A latent of each sentence then has as many places as the program that is to be given it. What is
    no document, and a model without ``max_sentences``, leave the batch as it is.
    """
    most = getattr(model, "max_sentences", None)
    tokens = batch.get(TOKENS)
    if most is None or tokens is None or tokens.dim() != 3 or tokens.shape[1] >= most:
        return dict(batch)
    return {**batch, TOKENS: pad(tokens, (0, 0, 0, most - tokens.shape[1]), value=PAD)}


def said_by_text(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values of the sites that a program marks as of the text, such as its number of sentences.

    :returns: by site, as the program has them; nothing for what is no document.
    """
    if TOKENS not in batch or batch[TOKENS].dim() != 3:
        return {}
    with evaluation_mode(model, model, seed=0):
        trace = poutine.trace(model).get_trace(**fields_of(model, to_device(batch, model)))
    return {name: site["value"] for name, site in random_sites(trace) if site["infer"].get(OF_TEXT)}


def numbers_between(
    model: nn.Module, ends: Mapping[str, Tensor], share: Tensor
) -> dict[str, Tensor]:
    """What the texts of two ends say, such as their numbers of sentences, and between them.

    :param share: how far each step is from the first end to the last one.
    :returns: by site, a row for each step, to the nearest whole number.
    """
    said = said_by_text(model, ends)
    between = {}
    for name, value in said.items():
        start, end = value.float()
        weight = share.reshape(-1, *[1] * start.dim())
        between[name] = torch.lerp(start, end, weight).round().to(value.dtype)
    return between


def of_both_ends(value: Tensor, there: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The latents of two documents; of a sentence that only one of them has, its own in both.

    :param value: of a site, with the two documents at ``dim``, counted from the right.
    :param there: which sentences each has, ``(2, S)``.
    """
    start, end = value.unbind(dim)
    # The plate of sentences stands to the right of that of documents.
    if there.shape[1] == 1 or start.dim() < -dim - 1 or start.shape[dim + 1] != there.shape[1]:
        return start, end
    has_start, has_end = (each.reshape(-1, *[1] * (-dim - 2)) for each in there)
    return (
        start.where(has_start | ~has_end, end),
        end.where(has_end | ~has_start, start),
    )
