# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How many sentences a document has, as a site of a program."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_textvae.contract import OF_TEXT

NUMBER_SITE = "num_sentences"
"""The site of the number of sentences of a document, less one."""


def sentences_there(scores: Tensor, given: Tensor | None) -> Tensor:
    """Which sentences there are, ``(*B, N, S)``: their number is drawn, or is what the text says.

    To be called in the plate ``"data"`` of dimension -2. The number is a part of the text, and so
    of its probability.

    >>> scores = torch.tensor([[[0.0, 50.0, 0.0]]])
    >>> with pyro.plate("data", 1, dim=-2):
    ...     sentences_there(scores, None).tolist()
    [[True, True, False]]

    :param scores: of 1, 2, ... sentences, ``(*B, N, 1, max_sentences)``, or broadcast against that.
    :param given: which there are, ``(N, S)``; None to draw it, then S is ``max_sentences``.
    """
    number = None if given is None else given.sum(-1, keepdim=True) - 1
    places = scores.shape[-1] if given is None else given.shape[-1]
    numbers = dist.Categorical(logits=scores)
    of_text: Any = {OF_TEXT: True}
    number = pyro.sample(NUMBER_SITE, numbers, obs=number, infer=of_text)
    return torch.arange(places, device=scores.device) <= number
