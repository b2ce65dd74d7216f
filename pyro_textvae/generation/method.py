# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a decoding method is: how a token is chosen from the scores of all."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_textvae import zoo
from pyro_textvae.config.checks import check_argument
from pyro_textvae.data import Tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.stepwise import decode_stepwise


class DecodingMethod(ABC):
    """Chooses every token of a sentence, given the scores of the next one.

    A subclass implements :meth:`choose`; one that looks at more than the next token implements
    :meth:`decode` too, or :meth:`generate`, which has a score beside each sentence. Its options are
    keywords of its ``__init__``; on the command line they are given as ``--options``.

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

    num_draws: int = 1
    """How many texts it needs for each sentence, each at a draw of z of its own."""

    num_return_sequences: int = 1
    """How many sentences it returns for each of those texts, the best first."""

    num_rows: int = 1
    """How many rows it decodes at once for each of those texts, which is what fills memory."""

    @abstractmethod
    def choose(self, scores: Tensor) -> Tensor:
        """The class of the next token in each row, ``(N,)``.

        :param scores: unnormalised log-probabilities ``(N, V)``; ``-inf`` for what may not be
            chosen.
        """

    def decode(self, text: Any, *, unknown: bool = True) -> Tensor:
        """Sentences of a text distribution, ids ``(*batch_shape, max_length)``.

        :param unknown: whether ``<unk>`` may be chosen.
        """
        return self.generate(text, Constraints(unknown=unknown)).tokens[0]

    def generate(self, text: Any, constraints: Constraints) -> Generated:
        """Sentences of a text distribution with their log-probabilities.

        :param text: an :class:`~pyro_textvae.distributions.AutoregressiveCategorical`, or another
            :class:`~pyro_textvae.generation.StepwiseText`.
        :returns: R sentences for each row, the best first, ``(R, *batch_shape, max_length)``; most
            methods have one.
        :raises UserError: for constraints that the method cannot keep, and where they leave no
            sentence.
        """
        if type(self).decode is DecodingMethod.decode:
            return decode_stepwise(text, self.choose, constraints)
        others = [name for name in constraints.names if name != "unknown"]
        if others:
            raise UserError(
                f"{type(self).__name__} decodes a sentence as a whole and cannot keep {others[0]}: "
                "leave it out"
            )
        tokens = self.decode(text, unknown=constraints.unknown)
        with torch.no_grad():
            log_prob = text.log_prob(tokens).unsqueeze(0)
        return Generated(tokens.unsqueeze(0), log_prob, log_prob)

    def select(self, drawn: Generated) -> Generated:
        """One sentence of the ``num_draws`` for each, ``(N, ...)``; the first as it stands.

        :param drawn: ``(N, num_draws, ...)``.
        """
        return drawn.map(lambda part: part[:, 0])


def build_method(
    method: str | DecodingMethod,
    options: Mapping[str, Any] | None = None,
    *,
    tokenizer: Tokenizer | None = None,
) -> DecodingMethod:
    """The method of a name of the catalogue or ``path/to/file.py:Class``; an instance as it is.

    >>> build_method("greedy").is_random
    False

    :param options: keywords of the method's ``__init__``.
    :param tokenizer: for a method that compares texts.
    :raises UserError: when there is no such method, and for an option that it does not take.
    """
    if isinstance(method, DecodingMethod):
        return method
    options = check_argument("options", options or {}, dict)
    cls = zoo.load("methods", method)
    parameters = inspect.signature(cls).parameters
    accepted = [name for name in parameters if name != "tokenizer"]
    for name in options:
        if name not in accepted:
            raise UserError(
                f"the {method} method has no option {name!r}; it takes: "
                f"{', '.join(accepted) or 'none'}"
            )
    given = {} if tokenizer is None else {"tokenizer": tokenizer}
    return zoo.build(cls, {**options, **given})
