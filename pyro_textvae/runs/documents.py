# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether a model takes the documents of a corpus."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pyro_textvae.contract import TEXT_SITE, TOKENS
from pyro_textvae.data import Batch
from pyro_textvae.errors import UserError
from pyro_textvae.infer.simulate import name_of, simulate


def refuse_documents(model: nn.Module, batch: Batch, data: str) -> None:
    """Refuse a model of single sentences for a corpus of documents; others are left alone.

    :param batch: of the corpus.
    :param data: what the corpus is called, for the message.
    :raises UserError: where the model generates one sentence for a datum of several.
    """
    if batch[TOKENS].dim() < 3:
        return
    with torch.random.fork_rng(), torch.no_grad():
        nodes: Any = simulate(model, batch).nodes
    if TEXT_SITE in nodes and nodes[TEXT_SITE]["value"].dim() < 3:
        raise UserError(
            f"a text of {data} is a document, a list of sentences, and {name_of(model)} is a model "
            "of one sentence: give a model of documents, or one sentence a row"
        )
