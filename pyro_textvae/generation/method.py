# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a decoding method is: how a token is chosen from the scores of all."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pyro_textvae import zoo
from pyro_textvae.config.checks import check_argument
from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import FIRST_EMITTED, UNK

_UNK_CLASS = UNK - FIRST_EMITTED


class DecodingMethod(ABC):
    """Chooses every token of a sentence, given the scores of the next one.

    A subclass implements :meth:`choose`; one that looks at more than the next token implements
    :meth:`decode` instead of it. Its options are keywords of its ``__init__``; on the command line
    they are given as ``--options``.

    >>> import torch
    >>> class SecondBest(DecodingMethod):
    ...     def choose(self, scores):
    ...         return scores.topk(2).indices[:, 1]
    >>> SecondBest().choose(torch.tensor([[0.1, 0.7, 0.2]]))
    tensor([2])
    """

    is_random: bool = True
    """Whether it draws. A method that does not decodes the :func:`posterior_point` of a sentence,
    one that does decodes a draw from its posterior."""

    is_the_models_own: bool = False
    """Whether its sentences are draws from the model itself, whatever the text site is."""

    @abstractmethod
    def choose(self, scores: Tensor) -> Tensor:
        """The class of the next token in each row, ``(N,)``.

        :param scores: unnormalised log-probabilities ``(N, V)``; ``-inf`` for what may not be
            chosen.
        """

    def decode(self, text: AutoregressiveCategorical, *, unknown: bool = True) -> Tensor:
        """Sentences of a text distribution, ids ``(*batch_shape, max_length)``.

        :param unknown: whether ``<unk>`` may be chosen.
        """
        if unknown:
            return text.generate(self.choose)
        return text.generate(lambda scores: self.choose(_without_unknown(scores)))


def build_method(
    method: str | DecodingMethod, options: Mapping[str, Any] | None = None
) -> DecodingMethod:
    """The method of a name of the catalogue or ``path/to/file.py:Class``; an instance as it is.

    >>> build_method("greedy").is_random
    False

    :param options: keywords of the method's ``__init__``.
    :raises UserError: when there is no such method, and for an option that it does not take.
    """
    if isinstance(method, DecodingMethod):
        return method
    options = check_argument("options", options or {}, dict)
    cls = zoo.load("methods", method)
    accepted = list(inspect.signature(cls).parameters)
    for name in options:
        if name not in accepted:
            raise UserError(
                f"the {method} method has no option {name!r}; it takes: "
                f"{', '.join(accepted) or 'none'}"
            )
    return zoo.build(cls, options)


def _without_unknown(scores: Tensor) -> Tensor:
    return scores.index_fill(-1, scores.new_tensor([_UNK_CLASS]).long(), float("-inf"))
