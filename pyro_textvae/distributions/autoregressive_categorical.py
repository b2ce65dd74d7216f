# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A distribution over token sequences, factorised from left to right."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_textvae.distributions.context import Context, as_context
from pyro_textvae.distributions.masked_texts import MaskedTexts
from pyro_textvae.distributions.samples_of_network import draw_samples, samples_in_place
from pyro_textvae.distributions.shape import Shape
from pyro_textvae.shared_batch import text_scored
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED, PAD


class SequenceNetwork(Protocol):
    """What :class:`AutoregressiveCategorical` asks of a decoder network.

    Class ``c`` of the scores stands for the token id ``c + FIRST_EMITTED``: the network has no
    output for ``<pad>`` and ``<bos>``, so they cannot receive any mass.

    A network that attends to a source says so by an attribute ``takes_memory = True``; without it
    a context with a memory is refused.
    """

    vocab_size: int

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        """Log-probability (nats) of each token given those before it, zero where not ``mask``.

        ``tokens`` and ``mask`` are ``(*B, T)``; the result is
        ``broadcast(B, context.batch_shape) + (T,)``.
        """

    def initial_state(self, context: Context) -> Any:
        """State before the first token, for a context of batch shape ``(N,)``.

        Every tensor of a state has the N rows as its first dimension, so that
        :func:`~pyro_textvae.distributions.select_rows` can reorder them.
        """

    def step(self, previous: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """Scores ``(N, vocab_size - FIRST_EMITTED)`` of the next token, and the new state."""


def sentence_mask(tokens: Tensor) -> Tensor:
    """True up to and including the first ``<eos>`` of each row; shape of ``tokens``.

    >>> sentence_mask(torch.tensor([[5, 2, 0], [5, 6, 7]])).tolist()
    [[True, True, False], [True, True, True]]
    """
    ended = (tokens == EOS).cumsum(-1)
    return (ended - (tokens == EOS).to(ended.dtype)) == 0


def draw_class(scores: Tensor) -> Tensor:
    """One class drawn from each row of scores; ``(N,)``."""
    return torch.multinomial(scores.softmax(-1), 1).squeeze(-1)


def likeliest_class(scores: Tensor) -> Tensor:
    """The class of the highest score in each row; ``(N,)``."""
    return scores.argmax(-1)


class AutoregressiveCategorical(TorchDistribution):
    r"""Token sequences drawn one token at a time until ``<eos>`` or a maximum length.

    .. math::
        \log p(x \mid c) = \sum_{t=1}^{\text{first eos}} \log p(x_t \mid x_{<t}, c)

    An outcome is a row of ids that ends in ``<eos>`` and is right-padded with ``<pad>``, or a row
    of ``max_length`` ids without ``<eos>``: generation that was cut off. Over these outcomes the
    probabilities sum to one exactly; ``<pad>`` and ``<bos>`` get none. The score of a sentence does
    not depend on ``max_length``.

    Shapes: ``batch_shape`` is that of ``context`` without its last dimension, ``event_shape`` is
    ``(max_length,)``. A value may be narrower, ``(..., T)`` with ``T <= max_length``: it stands
    for itself padded; its left dimensions broadcast against ``batch_shape``, so that one batch of
    sentences is scored under ``(K, N)`` contexts with its tokens embedded once.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=7
    ... )
    >>> sentences = AutoregressiveCategorical(decoder, torch.zeros(2, 3), max_length=7)
    >>> sentences.batch_shape, sentences.event_shape
    (torch.Size([2]), torch.Size([7]))
    >>> sentences.sample((10,)).shape
    torch.Size([10, 2, 7])
    >>> sentences.log_prob(torch.tensor([4, 5, 2])).shape
    torch.Size([2])

    Source: Bowman et al. (2016), Generating Sentences from a Continuous Space,
    https://aclanthology.org/K16-1002/, for a decoder of words given z.

    A ``PyroSample`` of the network, a Bayesian weight, is drawn when the distribution is made, as
    the sample statement that it is; the distribution scores and generates with that one draw.

    :param network: a decoder network, see :class:`SequenceNetwork`.
    :param context: what every step is conditioned on: z ``(*batch_shape, D)``, or a
        :class:`~pyro_textvae.distributions.Context` of z and a source, or None.
    :param max_length: the longest row, ``<eos>`` included.
    :raises ValueError: for a memory that ``network`` does not take, or none where it takes one; for
        a value wider than ``max_length``; under validation, also for one that is no outcome, with
        its row named.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = False

    def __init__(
        self,
        network: SequenceNetwork,
        context: Context | Tensor | None,
        max_length: int,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        self.network = network
        self.context = as_context(context)
        self.max_length = max_length
        _check_memory(network, self.context)
        self._samples = draw_samples(network)
        self._rows: Context | None = None
        event_shape = torch.Size((max_length,))
        super().__init__(self.context.batch_shape, event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Rows of ids below ``vocab_size``, or of a source that words are copied from."""
        return constraints.independent(constraints.integer_interval(PAD, self._num_ids() - 1), 1)

    def expand(
        self, batch_shape: Shape, _instance: AutoregressiveCategorical | None = None
    ) -> AutoregressiveCategorical:
        """The same distribution over more rows; stays of this class, as ``pyro.plate`` needs."""
        batch_shape = torch.Size(batch_shape)
        return self._with(self.context.expand(batch_shape), _instance)

    def mask(self, mask: bool | Tensor) -> MaskedTexts:
        """The same with a score of 0 where ``mask`` is false, which is then not computed."""
        return MaskedTexts(self, mask)

    def at(self, places: tuple[Tensor, ...]) -> AutoregressiveCategorical:
        """The texts at some places alone, ``(*batch_shape without the last, M)``.

        >>> from pyro_textvae.nn import GRUDecoder
        >>> decoder = GRUDecoder(
        ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=7
        ... )
        >>> there = torch.tensor([[True, True], [True, False]])
        >>> decoder(torch.zeros(10, 2, 2, 3)).at(there.nonzero(as_tuple=True)).batch_shape
        torch.Size([10, 3])

        :param places: of the last dimensions of ``batch_shape``, int64 ``(M,)`` each.
        """
        return self._with(self.context.at(places), None)

    def _with(
        self, context: Context, instance: AutoregressiveCategorical | None
    ) -> AutoregressiveCategorical:
        new = self._get_checked_instance(AutoregressiveCategorical, instance)
        new.network = self.network
        new._samples = self._samples
        new.max_length = self.max_length
        new.context = context
        new._rows = None
        super(AutoregressiveCategorical, new).__init__(
            context.batch_shape, self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of each row, nats; shape ``broadcast(batch_shape, value.shape[:-1])``."""
        self.check_value(value)
        mask = sentence_mask(value)
        emitted = value.clamp(min=FIRST_EMITTED)
        with samples_in_place(self._samples), text_scored(value):
            token_log_prob = self.network.token_log_prob(emitted, mask, self.context.distinct())
        # A <pad> or <bos> before the end is an impossible outcome, not an error of indexing.
        impossible = (mask & (value < FIRST_EMITTED)).any(-1)
        total = token_log_prob.sum(-1).masked_fill(impossible, -torch.inf)
        return total.expand(torch.broadcast_shapes(self.batch_shape, value.shape[:-1]))

    def check_value(self, value: Tensor) -> None:
        """Refuse what cannot be scored.

        :raises ValueError: as the class says.
        """
        if value.shape[-1] > self.max_length:
            raise ValueError(
                f"value has {value.shape[-1]} positions but max_length is {self.max_length}: "
                "build the decoder with a larger max_length"
            )
        if self._validate_args:
            self._validate_sample(value)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Ancestral samples, ``(*sample_shape, *batch_shape, max_length)``."""
        return self.generate(draw_class, sample_shape)

    def greedy(self) -> Tensor:
        """The row that takes the likeliest token at every step, ``(*batch_shape, max_length)``."""
        return self.generate(likeliest_class)

    @torch.no_grad()
    def generate(self, select: Callable[[Tensor], Tensor], sample_shape: Shape = ()) -> Tensor:
        """Generate rows, with ``select`` choosing each token's class from its scores.

        :param select: maps scores ``(N, vocab_size - FIRST_EMITTED)`` to classes ``(N,)``.
        :returns: ids, ``(*sample_shape, *batch_shape, max_length)``, ``<pad>`` after ``<eos>``.
        """
        shape = torch.Size(sample_shape) + self.batch_shape
        count = shape.numel()
        context = self.context.expand(shape).flatten()
        device = self.device
        rows = torch.full((count, self.max_length), PAD, dtype=torch.long, device=device)
        previous = torch.full((count,), BOS, dtype=torch.long, device=device)
        alive = torch.ones(count, dtype=torch.bool, device=device)
        with samples_in_place(self._samples):
            state = self.network.initial_state(context)
            for position in range(self.max_length if count else 0):
                scores, state = self.network.step(previous, state, context)
                previous = select(scores) + FIRST_EMITTED
                rows[:, position] = torch.where(alive, previous, PAD)
                alive = alive & (previous != EOS)
                if not alive.any():
                    break
        return rows.reshape(shape + (self.max_length,))

    def initial_state(self) -> Any:
        """What :meth:`step` starts from: a state of ``batch_shape.numel()`` rows.

        Every tensor of it has the rows as its first dimension.
        """
        with samples_in_place(self._samples):
            return self.network.initial_state(self._context_of_rows())

    def step(self, previous: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Scores ``(N, vocab_size - FIRST_EMITTED)`` of each row's next token, and the new state.

        :param previous: the token before of each row, ``(N,)``; first ``<bos>``.
        """
        with samples_in_place(self._samples):
            return self.network.step(previous, state, self._context_of_rows())

    def _context_of_rows(self) -> Context:
        # Kept, for where rows are repeated it is a copy.
        if self._rows is None:
            self._rows = self.context.flatten()
        return self._rows

    @property
    def device(self) -> torch.device:
        """Where the network is: its parameters, what was drawn in their place, or its context."""
        parameters: Iterable[Tensor] = getattr(self.network, "parameters", tuple)()
        drawn = (value for _, values in self._samples for value in values.values())
        context = () if self.context.z is None else (self.context.z,)
        return next(itertools.chain(parameters, drawn, context)).device

    def _validate_sample(self, value: Tensor) -> None:
        if value.dtype != torch.long:
            raise ValueError(f"tokens must be int64 ids, got {value.dtype}")
        torch.broadcast_shapes(self.batch_shape, value.shape[:-1])
        vocab_size = self._num_ids()
        if value.numel() and not 0 <= int(value.min()) <= int(value.max()) < vocab_size:
            raise ValueError(
                f"token ids must lie in [0, {vocab_size}), "
                f"got {int(value.min())} to {int(value.max())}"
            )
        mask = sentence_mask(value)
        self._refuse((mask & (value < FIRST_EMITTED)).any(-1), "has <pad> or <bos> before <eos>")
        self._refuse((~mask & (value != PAD)).any(-1), "has tokens other than <pad> after <eos>")
        if value.shape[-1] < self.max_length:
            self._refuse(~(value == EOS).any(-1), "does not end in <eos>")

    def _num_ids(self) -> int:
        """One more than the largest id; a source to copy from can have words beyond the others."""
        memory, size = self.context.memory, self.network.vocab_size
        if memory is None or not getattr(self.network, "copying", False) or not memory.ids.numel():
            return size
        return max(size, int(memory.ids.max()) + 1)

    @staticmethod
    def _refuse(wrong: Tensor, what: str) -> None:
        if wrong.any():
            row = tuple(int(index) for index in wrong.nonzero()[0])
            raise ValueError(f"row {row} of tokens {what}")


def _check_memory(network: SequenceNetwork, context: Context) -> None:
    takes_memory = getattr(network, "takes_memory", False)
    name = type(network).__name__
    if context.memory is not None and not takes_memory:
        raise ValueError(
            f"{name} does not attend to a source, so it would ignore the memory that it is given: "
            "choose a decoder with takes_memory = True, or call this one with z alone"
        )
    if context.memory is None and takes_memory:
        raise ValueError(
            f"{name} attends to a source and got no memory: call it as decoder(z, memory)"
        )
