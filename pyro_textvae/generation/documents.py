# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents of sentences that are decoded again: their places, and what their text says."""

from __future__ import annotations

from collections.abc import Mapping

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
